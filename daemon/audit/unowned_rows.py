"""Rows of the journal that belong to no user: what is no command, and chats that never started."""

from collections.abc import Iterator
from itertools import islice
from typing import Final

from sqlalchemy import Connection

from daemon.audit.differences import Difference, Findings, of_row
from daemon.audit.folding import Foreign
from meterd.rules import outcomes
from meterd.rules.commands import InvalidCommand
from meterd.rules.model import Chat
from meterd.rules.partitions import Partition
from meterd.rules.replay import JournalEntry, command_of
from persistence.postgres.reader import journal_of_nobody, owners_of_chats
from persistence.postgres.rows import JournalRow

_PAGE_ROWS: Final = 1_000


def compare_unowned(
    connection: Connection, since_ms: int, findings: Findings, partition: Partition
) -> Iterator[Difference]:
    """Rows of a partition without a user that should have one, or another outcome."""
    rows = journal_of_nobody(connection, since_ms, partition=partition.number)
    while page := list(islice(rows, _PAGE_ROWS)):
        findings.entries += len(page)
        named = {row.chat_id for row in page if row.chat_id}
        owners = Foreign(owners_of_chats(connection, named) if named else [])
        for row in page:
            yield from _row(row, owners, partition)


def _row(row: JournalRow, owners: Foreign, partition: Partition) -> Iterator[Difference]:
    journaled = JournalEntry(row.stream_id, row.fields, row.outcome, row.replayed)
    command = command_of(journaled, partition)
    if isinstance(command, InvalidCommand):
        if not _has(row, command.outcome, outcomes.INTERNAL_ERROR):
            yield _differs("outcome", row, command.outcome, row.outcome)
    elif _has(row, *outcomes.NO_COMMAND):
        yield _differs("outcome", row, f"the outcome of a valid {command.type}", row.outcome)
    elif row.outcome != outcomes.INTERNAL_ERROR:
        yield from _command(row, command.user_id, owners)


def _command(row: JournalRow, named: str, owners: Foreign) -> Iterator[Difference]:
    chat = owners.chat_of(row)
    user = named or (chat.user_id if chat else "")
    if user and not _is_before(row, named, chat):
        yield _differs("owner", row, f"a row of user {user}", "a row of nobody")
    elif not row.replayed and not _has(row, outcomes.UNKNOWN_CHAT, outcomes.ID_CONFLICT):
        yield _differs("outcome", row, outcomes.UNKNOWN_CHAT, row.outcome)


def _is_before(row: JournalRow, named: str, chat: Chat | None) -> bool:
    """Whether the chat that is all that names a user had not yet been imported here."""
    is_brought = chat is not None and not chat.increment_ms
    return not named and is_brought and _has(row, outcomes.UNKNOWN_CHAT)


def _has(row: JournalRow, *wanted: str) -> bool:
    return row.outcome in wanted


def _differs(kind: str, row: JournalRow, expected: str, found: str) -> Difference:
    chat = row.chat_id or str(row.fields.get("chat_id", "")) or None
    return of_row(kind, row, expected, found)._replace(chat=chat)
