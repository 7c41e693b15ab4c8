"""One account between two cuts: what an archive has of it besides the journal's rows.

Whoever writes an archive and whoever folds it again come to this by the same way.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from actors.chat.rows import record_row
from daemon.audit.digest import RowsDigest
from daemon.audit.folding import Position
from daemon.audit.opening_state import ArchivedState, digest_of_records
from meterd.rules.model import Chat, LedgerEntry
from meterd.rules.opening_balance import OpenedAccount
from persistence.postgres.rows import LedgerRow, RecordRow
from persistence.redis.commit import ledger_row


class ArchivedAccount(NamedTuple):
    """What the rows of one account before a cut come to."""

    records: list[RecordRow]
    """Of chats that they have changed, and of those that are open, as they were at the cut."""
    ledger: list[LedgerRow]
    closing: ArchivedState


def archived_account(
    begin: ArchivedState,
    ended: Mapping[str, Chat],
    end: Position,
    made: Iterable[LedgerEntry],
    cut_ms: int,
    partition: int,
    imported: Iterable[LedgerRow] = (),
) -> ArchivedAccount:
    """Compute it.

    Args:
        begin: the account before its first row.
        ended: the chats that had ended by then; at least those that are no longer as they were.
        end: the account after its last row.
        made: what the rows have made of the ledger.
        cut_ms: the first millisecond that is not in the archive.
        partition: the number of the one that the account is in.
        imported: entries of the ledger from before any journal, which no archive has yet.
    """
    changed = [
        chat
        for chat in end.chats.values()
        if chat.ended_at_ms is None or chat != ended.get(chat.chat_id)
    ]
    now_ended = [chat for chat in changed if chat.ended_at_ms is not None and chat.increment_ms]
    had_ended = [ended[chat.chat_id] for chat in now_ended if chat.chat_id in ended]
    digest = begin.ended.minus(map(record_row, had_ended)).plus(map(record_row, now_ended))
    ledger = [*imported, *(ledger_row(entry, partition) for entry in made)]
    return ArchivedAccount(
        records=sorted(map(record_row, changed)),
        ledger=ledger,
        closing=ArchivedState(
            cut_ms=cut_ms,
            opened=OpenedAccount(end.applied, end.account),
            ended=digest,
            ledger=begin.ledger.plus(ledger),
        ),
    )


def state_before(
    opened: OpenedAccount, ended: Iterable[Chat], archived: ArchivedState | None
) -> ArchivedState:
    """Give what an account was before its first row: of an archive, or out of what was imported."""
    if archived is not None:
        return archived
    return ArchivedState(0, opened, digest_of_records(ended), RowsDigest())
