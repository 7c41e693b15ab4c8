"""What Postgres keeps of the journal's archives: which there are, and what accounts were then."""

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import ARRAY, Connection, Text, any_, func, literal, select
from sqlalchemy.dialects.postgresql import distinct_on

from meterd.rules.commands import entry_key
from persistence.postgres.bulk_insert import batch, plain, text
from persistence.postgres.convert import check_texts, json_text, ms_from_datetime
from persistence.postgres.tables import journal_archives, opening_states

_states = opening_states.c
_archives = journal_archives.c


class OpeningStateRow(NamedTuple):
    """What an account was at the end of an archive: from there the fold goes on."""

    user_id: str
    cut_ms: int
    """The first millisecond that is not in the archive."""
    applied: str
    """The last entry that had its turn in the account."""
    account: dict[str, Any]
    """The account with its open chats."""
    ended_chats: int
    """Chats that had ended here, not in another system, and the digest of their records."""
    ended_digest: str
    ledger_entries: int
    """The user's ledger entries until then, and their digest."""
    ledger_digest: str
    checksum: str

    @property
    def is_intact(self) -> bool:
        """Whether the checksum is that of the rest."""
        return self.checksum == checksum_of(self)


class ArchiveRow(NamedTuple):
    """An archive whose rows are no longer in the journal."""

    cut_ms: int
    from_ms: int
    name: str
    folder: str
    entries: int
    last_entry: str
    last_entries: dict[str, str]
    """By the number of the partition; empty where the manifest is of version 1."""
    manifest_sha256: str


_STATES: Final = batch(
    "opening_states",
    (
        text("user_id"),
        plain("cut_ms"),
        text("applied"),
        plain("account", "jsonb")._replace(check=check_texts),
        plain("ended_chats"),
        text("ended_digest"),
        plain("ledger_entries"),
        text("ledger_digest"),
        text("checksum"),
    ),
    {},
    "(user_id, cut_ms) DO NOTHING",
)


def checksum_of(row: OpeningStateRow) -> str:
    """Give the SHA-256 of a state's columns, as hex digits."""
    columns = json.dumps(row[:-1], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(columns.encode()).hexdigest()


def opening_states_of_users(
    connection: Connection, users: Sequence[str]
) -> dict[str, OpeningStateRow]:
    """Give the latest opening state of each user that has one, by user."""
    mine = _states.user_id == any_(literal(list(users), ARRAY(Text)))
    latest = (
        select(opening_states)
        .where(mine)
        .order_by(_states.user_id, _states.cut_ms.desc())
        .ext(distinct_on(_states.user_id))
    )
    return {row.user_id: OpeningStateRow._make(row) for row in connection.execute(latest)}


def insert_opening_states(connection: Connection, rows: Sequence[OpeningStateRow]) -> int:
    """Write states in the caller's transaction; give how many went in."""
    return _STATES.write(connection, [(*row[:3], json_text(row.account), *row[4:]) for row in rows])


def archives(connection: Connection) -> list[ArchiveRow]:
    """Give all archives, the oldest first."""
    columns = [_archives[name] for name in ArchiveRow._fields]
    return [
        ArchiveRow._make(row)
        for row in connection.execute(select(*columns).order_by(_archives.cut_ms))
    ]


def archives_of_chat(
    connection: Connection, started_at_ms: int | None, ended_at_ms: int | None
) -> list[ArchiveRow]:
    """Give the archives that have some of a chat's history, the oldest first.

    The times are the chat's own, in milliseconds; None where it has not begun or ended.
    """
    if started_at_ms is None:
        return []
    return [
        one
        for one in archives(connection)
        if started_at_ms < one.cut_ms and (ended_at_ms is None or ended_at_ms >= one.from_ms)
    ]


def last_archived_at_ms(connection: Connection) -> int:
    """Give when the last archive was made, by the database's clock; 0 if there is none."""
    at: datetime | None = connection.scalar(select(func.max(_archives.at)))
    return 0 if at is None else ms_from_datetime(at)


def archived_until_ms(connection: Connection) -> int:
    """Give the first millisecond that is in no archive; 0 if there is none."""
    cut_ms: int | None = connection.scalar(select(func.max(_archives.cut_ms)))
    return cut_ms or 0


def last_archived_entry(connection: Connection, partition: int) -> str | None:
    """Give the last stream entry of a partition that is in an archive; None if none is."""
    found = [_last_entries(one).get(str(partition)) for one in archives(connection)]
    return max(filter(None, found), key=entry_key, default=None)


def _last_entries(archive: ArchiveRow) -> dict[str, str]:
    return archive.last_entries or {"0": archive.last_entry}


def insert_archive(connection: Connection, row: ArchiveRow) -> None:
    """Write that an archive is there, in the caller's transaction."""
    connection.execute(journal_archives.insert().values(row._asdict()))
