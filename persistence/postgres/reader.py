"""Reads rows back as the integers they were written from."""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import ARRAY, Connection, Select, Text, any_, literal, select

from persistence.postgres.convert import micro_from_credits, ms_from_datetime
from persistence.postgres.rows import JournalRow, LedgerRow, RecordRow
from persistence.postgres.tables import (
    chat_time_records,
    command_journal,
    ledger_entries,
    policies,
)

# How many journal rows are in memory at once.
_FETCH_ROWS: Final = 1_000

_INTEGERS: Final[dict[type, Callable[[Any], int]]] = {
    datetime: ms_from_datetime,
    Decimal: micro_from_credits,
}
_records = chat_time_records.c
_ledger = ledger_entries.c
_journal = command_journal.c


def fetch_records(connection: Connection, chat_ids: Iterable[str]) -> dict[str, RecordRow]:
    """Give the records of these chats, by chat; chats without one are left out."""
    wanted = any_(literal(list(chat_ids), ARRAY(Text)))
    rows = connection.execute(select(chat_time_records).where(_records.chat_id == wanted))
    return {record.chat_id: record for record in map(_record, rows)}


def records_of_user(connection: Connection, user_id: str, limit: int) -> list[RecordRow]:
    """Give the user's records, the latest start first."""
    newest_first = (_records.started_at.desc(), _records.chat_id.desc())
    query = select(chat_time_records).where(_records.user_id == user_id).order_by(*newest_first)
    return [_record(row) for row in connection.execute(query.limit(limit))]


def ledger_of_user(connection: Connection, user_id: str, limit: int) -> list[LedgerRow]:
    """Give the user's entries, the latest first."""
    newest_first = (_ledger.at.desc(), _ledger.entry_id.desc())
    query = select(ledger_entries).where(_ledger.user_id == user_id).order_by(*newest_first)
    return [LedgerRow._make(_integers(row)) for row in connection.execute(query.limit(limit))]


def journal_of_user(connection: Connection, user_id: str) -> Iterator[JournalRow]:
    """Yield the user's journal in the order of the stream, within the caller's transaction."""
    return _stream(connection, _in_order().where(_journal.user_id == user_id))


def journal_of_all(connection: Connection) -> Iterator[JournalRow]:
    """Yield the whole journal in the order of the stream, within the caller's transaction."""
    return _stream(connection, _in_order())


def fetch_policies(connection: Connection) -> dict[str, dict[str, Any]]:
    """Give every policy that was ever in force, by id."""
    rows = connection.execute(select(policies.c.policy_id, policies.c.policy))
    return {row.policy_id: row.policy for row in rows}


def _in_order() -> Select[Any]:
    columns = [_journal[name] for name in JournalRow._fields]
    return select(*columns).order_by(_journal.at_ms, _journal.at_seq)


def _stream(connection: Connection, query: Select[Any]) -> Iterator[JournalRow]:
    # yield_per makes it a cursor of the server: a year of commands does not fit in memory.
    rows = connection.execute(query, execution_options={"yield_per": _FETCH_ROWS})
    return map(JournalRow._make, rows)


def _record(row: Iterable[Any]) -> RecordRow:
    return RecordRow._make(_integers(row))


def _integers(row: Iterable[Any]) -> Iterator[Any]:
    for value in row:
        convert = _INTEGERS.get(type(value))
        yield value if convert is None else convert(value)
