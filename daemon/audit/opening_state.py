"""What a user had before the journal begins: imported from another system, out of its rows."""

from collections import Counter
from collections.abc import Iterable
from typing import Final, NamedTuple

from sqlalchemy import Connection

from actors.chat.rows import chat_of_record
from meterd.rules.model import MIGRATED, Chat
from meterd.rules.opening_balance import OpenedAccount, OpeningEntry, number_of, openings
from persistence.postgres.reader import free_times_of_users, ledger_of_users, records_of_users
from persistence.postgres.rows import FreeTimeRow, LedgerRow, RecordRow

_REFUND = "refund"


class OpeningState(NamedTuple):
    """An account and ended chats as they came."""

    steps: list[OpenedAccount]
    """The account after each of its opening entries."""
    ended: list[Chat]

    @property
    def account(self) -> OpenedAccount | None:
        """The account as its first command met it; None if none was imported."""
        return self.steps[-1] if self.steps else None


NOTHING_IMPORTED: Final = OpeningState([], [])


def opening_state_of(
    user: str,
    records: Iterable[RecordRow],
    ledger: Iterable[LedgerRow],
    free_times: Iterable[FreeTimeRow],
) -> OpeningState:
    """What was imported, out of all rows of one user."""
    rows = list(ledger)
    refunds = Counter(row.chat_id for row in rows if row.kind == _REFUND)
    ended = [_as_it_came(row, refunds[row.chat_id]) for row in records if row.source == MIGRATED]
    entries = opening_entries(opening_rows(rows), free_times)
    return OpeningState(openings(user, entries), ended)


def fetch_opening_states(connection: Connection, user: str) -> OpeningState:
    """What was imported of one user."""
    records = list(records_of_users(connection, [user]))
    ledger = ledger_of_users(connection, [user])
    return opening_state_of(user, records, ledger, free_times_of_users(connection, [user]))


def opening_entries(
    ledger: Iterable[LedgerRow], free_times: Iterable[FreeTimeRow]
) -> list[OpeningEntry]:
    """The steps of an opening, in their order, out of the rows that they made."""
    steps: dict[int, OpeningEntry] = {}
    for row in ledger:
        number = number_of(row.entry_id)
        steps[number] = OpeningEntry(number, row.amount_micro, row.at_ms)
    for one in free_times:
        step = steps.get(one.number) or OpeningEntry(one.number, 0, one.at_ms)
        used = {**step.free_used_ms, one.scope: one.used_ms}
        steps[one.number] = step._replace(free_used_ms=used)
    return [steps[number] for number in sorted(steps)]


def opening_rows(ledger: Iterable[LedgerRow]) -> list[LedgerRow]:
    """The opening entries in the order in which they were made."""
    rows = [row for row in ledger if row.kind == MIGRATED]
    return sorted(rows, key=lambda row: (number_of(row.entry_id), row.entry_id))


def _as_it_came(row: RecordRow, refunds: int) -> Chat:
    """The chat before its refunds, each of which was one change of it."""
    chat = chat_of_record(row)
    if not refunds or chat.ended_at_ms is None:
        return chat
    at = chat.ended_at_ms
    return chat._replace(
        refunded_micro=0, seq=chat.seq - refunds, as_of_ms=at, since_ms=at, alive_at_ms=at
    )
