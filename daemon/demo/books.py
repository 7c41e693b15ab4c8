"""What Postgres has of the demonstration, and whether it adds up to the micro-credit."""

import time
from collections.abc import Iterator
from typing import Final, NamedTuple

from sqlalchemy import Engine

from daemon.console.units import duration, span
from daemon.demo.script import FREE_MS, RATE_A, RATE_B, TOP_UP, Cast
from meterd.rules.money import MS_PER_MINUTE, format_micro, parse_micro
from persistence.postgres.reader import fetch_records, ledger_of_user
from persistence.postgres.rows import LedgerRow, RecordRow

WAIT_S: Final = 5.0
_PAUSE_S: Final = 0.1
_ENTRIES_MAX: Final = 100
_ENTRIES: Final = 3
"""A top-up, and a charge for each chat."""


class DemoLedger(NamedTuple):
    """The rows of one demonstration."""

    records: dict[str, RecordRow]
    ledger: list[LedgerRow]

    @property
    def is_final(self) -> bool:
        """Whether all of it is there."""
        ended = [r for r in self.records.values() if r.ended_at_ms is not None]
        return len(ended) == len(Cast._fields[2:]) and len(self.ledger) >= _ENTRIES

    @property
    def cost_micro(self) -> int:
        """Of both chats together."""
        return sum(record.cost_micro for record in self.records.values())

    @property
    def left_micro(self) -> int:
        """What the account still has: the sum of all its entries."""
        return sum(entry.amount_micro for entry in self.ledger)


def read_books(engine: Engine, cast: Cast) -> DemoLedger:
    """The rows, as soon as they are final; as they are if that takes too long."""
    deadline = time.monotonic() + WAIT_S
    while True:
        with engine.connect() as connection:
            found = fetch_records(connection, cast.chats)
            ledger = ledger_of_user(connection, cast.user, _ENTRIES_MAX)
        records = {chat_id: found[chat_id] for chat_id in cast.chats if chat_id in found}
        books = DemoLedger(records, ledger[::-1])
        if books.is_final or time.monotonic() > deadline:
            return books
        time.sleep(_PAUSE_S)


def problems(books: DemoLedger, cast: Cast) -> list[str]:
    """What does not add up; nothing if all is well."""
    if not books.is_final:
        return [f"Postgres does not have everything after {WAIT_S:g} s: {books}"]
    return [*_record_problems(books, cast), *_ledger_problems(books)]


def result(books: DemoLedger, cast: Cast) -> list[str]:
    """What the demonstration has shown."""
    a, b = (books.records[chat_id] for chat_id in cast.chats)
    cost_a, cost_b = format_micro(a.cost_micro), format_micro(b.cost_micro)
    total = format_micro(books.cost_micro + books.left_micro)
    left = f" + {format_micro(books.left_micro)} left" if books.left_micro else ""
    why = " (too little for one more millisecond of both)" if left else ""
    active_a, active_b = duration(a.active_ms), duration(b.active_ms)
    free_a, free_b = span(a.free_ms), span(b.free_ms)
    return [
        f"Each chat has a record of its own: A was active for {active_a}, B for {active_b}.",
        f"They shared {span(FREE_MS)} of free time: A had {free_a} of it, B {free_b}.",
        f"They add up: {cost_a} for A + {cost_b} for B{left} = {total} topped up{why}.",
    ]


def _record_problems(books: DemoLedger, cast: Cast) -> Iterator[str]:
    for chat_id, rate in zip(cast.chats, (RATE_A, RATE_B), strict=True):
        record = books.records[chat_id]
        assert record.ended_at_ms is not None, "the books are final"
        lasted_ms = record.ended_at_ms - record.started_at_ms
        if lasted_ms != record.active_ms + record.paused_ms:
            yield f"{chat_id}: active and paused time are not the {span(lasted_ms)} that it lasted"
        due = (record.active_ms - record.free_ms) * parse_micro(rate) // MS_PER_MINUTE
        if record.cost_micro != due:
            yield f"{chat_id}: costs {format_micro(record.cost_micro)}, not {format_micro(due)}"
    free_ms = sum(record.free_ms for record in books.records.values())
    if free_ms != FREE_MS:
        yield f"both together had {span(free_ms)} of free time, not {span(FREE_MS)}"


def _ledger_problems(books: DemoLedger) -> Iterator[str]:
    charged = {entry.chat_id: -entry.amount_micro for entry in books.ledger if entry.chat_id}
    for chat_id, record in books.records.items():
        if charged.get(chat_id) != record.cost_micro:
            yield f"{chat_id}: the ledger does not charge what the record says"
    if books.cost_micro + books.left_micro != parse_micro(TOP_UP):
        yield f"records and balance do not add up to the {TOP_UP} credits topped up"
    next_ms = (parse_micro(RATE_A) + parse_micro(RATE_B)) // MS_PER_MINUTE
    if not 0 <= books.left_micro < next_ms:
        yield f"{format_micro(books.left_micro)} credits are left, enough for another millisecond"
