"""Reads rows back as the integers they were written from."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    CompoundSelect,
    Connection,
    DateTime,
    Interval,
    Select,
    Text,
    any_,
    cast,
    func,
    literal,
    literal_column,
    or_,
    select,
    text,
    true,
    union,
    union_all,
)

from meterd.rules.outcomes import NO_COMMAND
from persistence.postgres.convert import integers
from persistence.postgres.rows import FreeTimeRow, JournalRow, LedgerRow, RecordRow
from persistence.postgres.tables import (
    chat_time_records,
    command_journal,
    ledger_entries,
    opening_free_times,
    opening_states,
    operations,
    policies,
)

# How many journal rows are in memory at once.
_FETCH_ROWS: Final = 1_000

_records = chat_time_records.c
_ledger = ledger_entries.c
_journal = command_journal.c
_states = opening_states.c
_id: Final = _journal.fields["id"].astext
_OPENING: Final = ("start", "adopt")


class ChatOwner(NamedTuple):
    """A chat that a user names, the other user whose it is, and since when it is."""

    user_id: str
    chat_id: str
    owner: str
    entry: str
    """Where it started; empty if it was imported from another system, ``IN_ARCHIVE`` if what
    started it is in no journal any more."""


IN_ARCHIVE: Final = "1-0"
"""Before every entry of a journal."""


def fetch_records(connection: Connection, chat_ids: Iterable[str]) -> dict[str, RecordRow]:
    """Give the records of these chats, by chat; chats without one are left out."""
    wanted = _records.chat_id == _one_of(chat_ids)
    rows = connection.execute(select(chat_time_records).where(wanted))
    return {record.chat_id: record for record in map(_record, rows)}


def ledger_of_user(connection: Connection, user_id: str, limit: int) -> list[LedgerRow]:
    """Give the user's entries, the latest first."""
    newest_first = (_ledger.at.desc(), _ledger.entry_id.desc())
    query = select(ledger_entries).where(_ledger.user_id == user_id).order_by(*newest_first)
    return [LedgerRow._make(integers(row)) for row in connection.execute(query.limit(limit))]


def journal_of_user(connection: Connection, user_id: str) -> Iterator[JournalRow]:
    """Yield the user's journal in the order of the stream, within the caller's transaction."""
    return _stream(connection, _in_order().where(_journal.user_id == user_id))


def journal_since(
    connection: Connection,
    since_ms: int,
    types: Sequence[str] | None = None,
    *,
    partition: int = 0,
) -> Iterator[JournalRow]:
    """Yield the journal from a millisecond on, in the order of the stream; of some types only."""
    query = _in_order().where(_journal.partition == partition, _journal.at_ms >= since_ms)
    if types is not None:
        query = query.where(_journal.fields["type"].astext.in_(types))
    return _stream(connection, query)


def journaled(connection: Connection, entries: Sequence[str], partition: int = 0) -> set[str]:
    """Give those of a queue partition's stream entries that the journal has.

    Not those of an archive: the account of such an entry is past it, so that it has no second
    effect if it is handled again; one that was never handled must not be taken for it.
    """
    query = select(_journal.stream_id).where(
        _journal.partition == partition, _journal.stream_id == _one_of(entries)
    )
    return set(connection.scalars(query))


def journal_rows(
    connection: Connection, entries: Iterable[str], partition: int = 0
) -> dict[str, JournalRow]:
    """Give the rows of these stream entries, by entry; what has no row is left out."""
    columns = [_journal[name] for name in JournalRow._fields]
    mine = _journal.partition == partition, _journal.stream_id == _one_of(entries)
    query = select(*columns).where(*mine)
    return {row.stream_id: JournalRow._make(row) for row in connection.execute(query)}


def rows_of_ids(
    connection: Connection, ids: Sequence[str], partition: int = 0
) -> Iterator[JournalRow]:
    """Yield the rows of commands with these ids, in the order of the stream.

    Reads the whole journal: no index has the ids.
    """
    mine = _journal.partition == partition, _id == _one_of(ids)
    return _stream(connection, _in_order().where(*mine))


def last_recovery(connection: Connection) -> tuple[int, str] | None:
    """Give when state was recovered last (ms), and the last event before; None if never."""
    query = (
        select(operations.c.at, operations.c.details["events"].astext)
        .where(operations.c.operation == "recover")
        .order_by(operations.c.at.desc())
        .limit(1)
    )
    found = connection.execute(query).first()
    if found is None:
        return None
    at_ms, events = integers(found)
    return at_ms, events or ""


def in_order(connection: Connection, users: Sequence[str]) -> list[str]:
    """Give the users in the database's order of texts."""
    user = _given(users)
    return list(connection.scalars(select(user).order_by(user)))


def outcome_of(connection: Connection, entry: str, partition: int = 0) -> str | None:
    """Give the outcome of a queue partition's stream entry; None if the journal has it not."""
    query = select(_journal.outcome).where(
        _journal.partition == partition, _journal.stream_id == entry
    )
    outcome: str | None = connection.scalar(query)
    return outcome


def fetch_policies(connection: Connection) -> dict[str, dict[str, Any]]:
    """Give every policy that was ever in force, by id."""
    rows = connection.execute(select(policies.c.policy_id, policies.c.policy))
    return {row.policy_id: row.policy for row in rows}


def users_after(connection: Connection, last: str, most: int) -> list[str]:
    """Give the next users that any table knows, in the database's order of texts."""
    parts = [
        select(column).where(column > last).distinct().order_by(column).limit(most)
        for column in (_journal.user_id, _records.user_id, _ledger.user_id, _states.user_id)
    ]
    known = union(*(select(part.subquery().c.user_id) for part in parts)).subquery().c.user_id
    return list(connection.scalars(select(known).order_by(known).limit(most)))


def users_since(connection: Connection, users: Sequence[str], since_ms: int) -> list[str]:
    """Give those of the users that have journal entries since then, in the order given."""
    user = _given(users)
    has = select(1).where(_journal.user_id == user, _journal.at_ms >= since_ms).exists()
    found = set(connection.scalars(select(user).where(has)))
    return [one for one in users if one in found]


def users_before(connection: Connection, users: Sequence[str], before_ms: int) -> list[str]:
    """Give those of the users that have journal entries before then, in the order given."""
    user = _given(users)
    has = select(1).where(_journal.user_id == user, _journal.at_ms < before_ms).exists()
    found = set(connection.scalars(select(user).where(has)))
    return [one for one in users if one in found]


def known_users(connection: Connection, users: Sequence[str]) -> set[str]:
    """Give those of the users that any table knows."""
    user = _given(users)
    columns = (_journal.user_id, _records.user_id, _ledger.user_id, _states.user_id)
    known = or_(*(select(1).where(column == user).exists() for column in columns))
    return set(connection.scalars(select(user).where(known)))


def journal_of_users(connection: Connection, users: Sequence[str]) -> Iterator[JournalRow]:
    """Yield these users' journals, user by user in the database's order of texts."""
    mine = _journal.user_id == _one_of(users)
    return _stream(connection, _in_order(_journal.user_id).where(mine))


def journal_of_nobody(
    connection: Connection, since_ms: int = 0, before_ms: int | None = None, *, partition: int = 0
) -> Iterator[JournalRow]:
    """Yield the rows that belong to no user, in the order of the stream."""
    nobodys = _in_order().where(
        _journal.partition == partition, _journal.user_id.is_(None), _journal.at_ms >= since_ms
    )
    if before_ms is not None:
        nobodys = nobodys.where(_journal.at_ms < before_ms)
    return _stream(connection, nobodys)


def records_of_users(connection: Connection, users: Sequence[str]) -> Iterator[RecordRow]:
    """Yield these users' records, user by user in the database's order of texts."""
    mine = _records.user_id == _one_of(users)
    query = select(chat_time_records).where(mine).order_by(_records.user_id)
    return map(_record, _rows(connection, query))


def ledger_of_users(connection: Connection, users: Sequence[str]) -> Iterator[LedgerRow]:
    """Yield these users' entries, user by user in the database's order of texts."""
    mine = _ledger.user_id == _one_of(users)
    query = select(ledger_entries).where(mine).order_by(_ledger.user_id)
    return (LedgerRow._make(integers(row)) for row in _rows(connection, query))


def free_times_of_users(connection: Connection, users: Sequence[str]) -> Iterator[FreeTimeRow]:
    """Yield what these users' accounts began with, user by user in the database's order."""
    mine = opening_free_times.c.user_id == _one_of(users)
    query = select(opening_free_times).where(mine).order_by(opening_free_times.c.user_id)
    return (FreeTimeRow._make(integers(row)) for row in _rows(connection, query))


def owners_of_chats(connection: Connection, chat_ids: Iterable[str]) -> list[ChatOwner]:
    """Give whose these chats are and since when; those that never started are left out."""
    return list(map(ChatOwner._make, connection.execute(owners_of_chats_query(chat_ids))))


def owners_of_chats_query(chat_ids: Iterable[str]) -> CompoundSelect[Any]:
    """Give the statement, so that a test can see its plan."""
    chats = _given(list(chat_ids)).label("chat_id")
    return _owners(select(literal("").label("user_id"), chats))


def foreign_owners(connection: Connection, users: Sequence[str]) -> list[ChatOwner]:
    """Give the chats that the users' journals name and that are another user's."""
    return list(map(ChatOwner._make, connection.execute(foreign_owners_query(users))))


def foreign_owners_query(users: Sequence[str]) -> CompoundSelect[Any]:
    """Give the statement, so that a test can see its plan."""
    mine = _journal.user_id == _one_of(users)
    named = select(_journal.user_id, _journal.chat_id).where(mine, _journal.chat_id.is_not(None))
    return _owners(named.distinct())


def repeated_ids(
    connection: Connection, since_ms: int = 0, user_id: str | None = None, *, partition: int = 0
) -> Iterator[JournalRow]:
    """Yield the rows whose id is no news: id by id, each id's in the order of the stream.

    These are all rows of an id that more than one row has, and those that say by themselves that
    it was used before. With ``since_ms``, only of ids that were used since then; with a user,
    only the user's own rows.
    """
    mine = _journal.partition == partition
    narrow = _narrowed(since_ms, user_id)
    counted = (
        select(
            _journal.stream_id,
            (_journal.replayed | (_journal.outcome == "id_conflict")).label("says"),
            func.count().over(partition_by=_id).label("uses"),
        )
        .where(mine, _id.is_not(None), _journal.outcome.not_in(NO_COMMAND), narrow)
        .subquery()
    )
    wanted = select(counted.c.stream_id).where(or_(counted.c.uses > 1, counted.c.says))
    return _stream(connection, _in_order(_id).where(mine, _journal.stream_id.in_(wanted)))


def journal_size(connection: Connection) -> int | None:
    """Give about how many rows the journal has; None if the server has not counted yet."""
    # A table that was never analysed has -1.
    query = text(
        "SELECT sum(greatest(c.reltuples, 0))::bigint"
        " FROM pg_partition_tree('command_journal') t JOIN pg_class c ON c.oid = t.relid"
        " WHERE t.isleaf"
    )
    estimate = int(connection.scalar(query) or 0)
    return estimate if estimate > 0 else None


def _owners(named: Any) -> CompoundSelect[Any]:
    who = named.cte("named")
    opened, record = command_journal.alias("opened").c, chat_time_records.alias("record").c
    started = select(opened.user_id.label("owner"), opened.stream_id.label("entry")).where(
        *_started_by(opened, who.c.chat_id)
    )
    imported = select(record.user_id.label("owner"), literal("").label("entry")).where(
        record.chat_id == who.c.chat_id, record.source == "migrated"
    )
    state = opening_states.alias("state").c
    began = cast(literal("epoch"), DateTime(timezone=True)) + _ms_interval(state.cut_ms)
    archived = select(record.user_id.label("owner"), literal(IN_ARCHIVE).label("entry")).where(
        record.chat_id == who.c.chat_id,
        record.user_id != who.c.user_id,  # before what is dearer to find out
        record.source != "migrated",
        select(1).where(state.user_id == record.user_id, record.started_at < began).exists(),
        ~select(1).where(*_started_by(opened, record.chat_id)).exists(),
    )
    return union_all(*(_probed(who, each) for each in (started, imported, archived)))


def _started_by(opened: Any, chat_id: ColumnElement[str]) -> list[ColumnElement[bool]]:
    """Whether a row of the journal started the chat."""
    return [
        opened.chat_id == chat_id,
        opened.outcome == "ok",
        opened.fields["type"].astext.in_(_OPENING),
        opened.replayed.is_(False),
    ]


def _ms_interval(ms: ColumnElement[int]) -> ColumnElement[Any]:
    return cast(func.concat(ms, "ms"), Interval)


def _probed(who: Any, chats: Select[Any]) -> Select[Any]:
    """One look into an index for each chat: what a join reads instead grows with the table."""
    found = chats.offset(literal_column("0")).correlate(who).lateral()
    columns = (who.c.user_id, who.c.chat_id, found.c.owner, found.c.entry)
    of_others = found.c.owner != who.c.user_id
    return select(*columns).select_from(who).join(found, true()).where(of_others)


def _narrowed(since_ms: int, user_id: str | None) -> Any:
    if user_id is not None:
        return _journal.user_id.in_([user_id])
    if since_ms:
        late = command_journal.alias("late").c
        return _id.in_(select(late.fields["id"].astext).where(late.at_ms >= since_ms))
    return literal(True)


def _one_of(texts: Iterable[str]) -> Any:
    return any_(literal(list(texts), ARRAY(Text)))


def _given(texts: Sequence[str]) -> ColumnElement[str]:
    """A list from here as a column."""
    return func.unnest(literal(list(texts), ARRAY(Text))).column_valued("given")


def _in_order(*first: ColumnElement[Any]) -> Select[Any]:
    columns = [_journal[name] for name in JournalRow._fields]
    return select(*columns).order_by(*first, _journal.at_ms, _journal.at_seq)


def _stream(connection: Connection, query: Select[Any]) -> Iterator[JournalRow]:
    return map(JournalRow._make, _rows(connection, query))


def _rows(connection: Connection, query: Select[Any]) -> Iterable[Any]:
    # yield_per makes it a cursor of the server: a year of commands does not fit in memory.
    return connection.execute(query, execution_options={"yield_per": _FETCH_ROWS})


def _record(row: Iterable[Any]) -> RecordRow:
    return RecordRow._make(integers(row))
