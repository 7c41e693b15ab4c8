"""``meterd demo``."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from daemon.console.common import (
    ConfigOption,
    engine_or_exit,
    fail,
    print_line,
    print_table,
    redis_or_exit,
    settings_or_exit,
    table,
)
from daemon.console.units import duration, moment
from meterd.rules.money import format_micro

if TYPE_CHECKING:
    from daemon.console.table import Table
    from daemon.demo.books import DemoLedger
    from daemon.demo.script import Cast
    from daemon.discovery.runfile import Addresses
    from daemon.settings.settings import Settings


def demo(config: ConfigOption = None) -> None:
    """Watch two chats of one user being timed and billed on one wallet.

    Against the running daemon, with names that nobody has used: the user
    switches between two chats with the same advisor, then runs both at once
    until the credits end. Then the records and the ledger, out of Postgres.
    Takes about 20 seconds; exits 1 if they do not add up.

    For example:

      meterd demo
    """
    # They take long to import; the help need not wait for them.
    from daemon.demo.books import problems, result  # noqa: PLC0415
    from daemon.demo.script import new_cast  # noqa: PLC0415

    addresses, cast = _ready_or_exit(settings_or_exit(config)), new_cast()
    print_line(f"One user ({cast.user}), one advisor ({cast.advisor}), two chats, one wallet.")
    print_line()
    _play(addresses, cast)
    books = _books(addresses.postgres_url, cast)
    _print_books(books)
    wrong = problems(books, cast)
    if wrong:
        raise fail("\n".join(["This does not add up:", *wrong, "Please report it."]))
    for line in result(books, cast):
        print_line(line, "green", is_bold=True)
    print_line(f"The history of one of them: meterd chat {cast.chat_a}")


def _ready_or_exit(settings: "Settings") -> "Addresses":
    from daemon.discovery.runfile import Addresses  # noqa: PLC0415 - as above
    from daemon.discovery.status import full_status  # noqa: PLC0415 - as above

    found = full_status(settings)
    if found["state"] != "ready":
        why = f": {found['why']}" if found.get("why") else ""
        raise fail(f"No daemon is ready (it is {found['state']}{why}).\n{found['next_step']}")
    if not found["postgres_url"]:
        raise fail("The records are in Postgres, and postgres.url is not configured.")
    return Addresses.of(found["redis_urls"], found["postgres_url"])


def _play(addresses: "Addresses", cast: "Cast") -> None:
    from daemon.demo.play import Play  # noqa: PLC0415 - as above
    from daemon.demo.screen import show  # noqa: PLC0415 - as above
    from daemon.errors import DemoError  # noqa: PLC0415 - as above
    from meterd import Meter, MeterError  # noqa: PLC0415 - as above

    with Meter(addresses.redis.urls) as meter:
        play = Play(meter, cast, _queue_clock(addresses))
        try:
            show(play.frames())
        except (MeterError, DemoError) as error:
            raise fail(f"The demonstration can't go on: {error}") from None
        except KeyboardInterrupt:
            play.end_all()
            raise


def _queue_clock(addresses: "Addresses") -> Callable[[], int]:
    """The queue's time in ms, asked for once."""
    from persistence.redis.client import queue_ms  # noqa: PLC0415 - as above

    with redis_or_exit(addresses.redis) as clients:
        ahead_ms = queue_ms(clients) - time.monotonic() * 1000
    return lambda: int(time.monotonic() * 1000 + ahead_ms)


def _books(postgres_url: str, cast: "Cast") -> "DemoLedger":
    from daemon.demo.books import read_books  # noqa: PLC0415 - as above

    with engine_or_exit(postgres_url) as engine:
        return read_books(engine, cast)


def _print_books(books: "DemoLedger") -> None:
    print_line()
    print_table(_records(books))
    print_line()
    ledger = table("Ledger (ledger_entries)", "at", "kind", "chat", "amount")
    for entry in books.ledger:
        amount = format_micro(entry.amount_micro)
        ledger.add_row(moment(entry.at_ms), entry.kind, entry.chat_id or "", amount)
    ledger.add_row("", "= left", "", format_micro(books.left_micro))
    print_table(ledger)
    print_line()


def _records(books: "DemoLedger") -> "Table":
    """A column for each chat: this fits into a narrow terminal."""
    columns = [
        (
            row.status,
            row.end_reason or "",
            moment(row.started_at_ms),
            "" if row.ended_at_ms is None else moment(row.ended_at_ms),
            duration(row.active_ms),
            duration(row.paused_ms),
            format_micro(row.cost_micro),
        )
        for row in books.records.values()
    ]
    names = ("status", "end_reason", "started_at", "ended_at", "active", "paused", "cost")
    records = table("Records (chat_time_records)", "", *books.records)
    for cells in zip(names, *columns, strict=True):
        records.add_row(*cells)
    return records
