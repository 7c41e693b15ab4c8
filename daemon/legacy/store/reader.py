"""Reads the old rows, pair by pair and in order, in bounded memory: times and amounts exactly."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Any, Final, NamedTuple, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DataError

from daemon.legacy.rules.rows import Pair
from daemon.legacy.store import pair_reader, queries
from daemon.legacy.store.decimals import MICRO_DIGITS
from daemon.legacy.store.layout import layout_of
from daemon.legacy.store.names import TABLES
from daemon.legacy.store.pair_reader import OldPair, PairKey, whole
from daemon.legacy.store.shape import LegacyShape

__all__ = [
    "OldBalance",
    "OldPair",
    "PairKey",
    "balances_of",
    "count_balances",
    "fingerprint",
    "old_balances",
    "pair_of_chat",
    "read_old_pair",
    "read_old_pairs",
    "read_only",
    "read_pairs",
    "read_pairs_of",
    "whole",
]

_FETCH_ROWS: Final = 2_000
_RECORD_KEY: Final = itemgetter(1, 2)
_CHAT_KEY: Final = itemgetter(1, 2)
_Row = TypeVar("_Row")


class OldBalance(NamedTuple):
    """What a user's rows of the old credits come to."""

    user_id: str
    balance_micro: int | None
    """None if it is no number."""
    remainder_micro: Decimal
    rows: int


@contextmanager
def read_only(engine: Engine) -> Iterator[Connection]:
    """A connection that sees one moment and on which the server refuses to write."""
    with engine.connect() as connection, connection.begin():
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        # It is idle while what was read is written elsewhere, and a sort of millions takes long.
        connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        yield connection


def read_pairs(
    connection: Connection, shape: LegacyShape, after: PairKey | None = None
) -> Iterator[Pair]:
    """Yield every pair after ``after``, in the order of users and advisors, byte by byte."""
    return (one.pair for one in read_old_pairs(connection, shape, after))


def read_old_pairs(
    connection: Connection, shape: LegacyShape, after: PairKey | None = None
) -> Iterator[OldPair]:
    """Yield every pair after ``after`` with what rounding its totals left over.

    Raises:
        LegacyError: A table or column is not there.
    """
    layout = layout_of(connection, shape)
    place = pair_reader.parameters(after or ("", ""))
    of_records = queries.after_sql(layout, "r", "records") if after else "true"
    of_chats = queries.after_sql(layout, "c", "chats") if after else "true"
    records = _stream(connection, queries.records_sql(layout, of_records), place)
    chats = _stream(connection, queries.chats_sql(layout, of_chats), place)
    for key, record_rows, chat_rows in _merged(records, chats):
        yield pair_reader.old_pair(shape, key, record_rows, chat_rows)


def read_pairs_of(
    connection: Connection, shape: LegacyShape, users: Sequence[str]
) -> Iterator[Pair]:
    """Yield every pair of these users, in order."""
    layout = layout_of(connection, shape)
    given = {"users": list(users)}
    records = queries.records_sql(layout, queries.of_users_sql(layout, "r", "records"))
    chats = queries.chats_sql(layout, queries.of_users_sql(layout, "c", "chats"))
    merged = _merged(_stream(connection, records, given), _stream(connection, chats, given))
    for key, record_rows, chat_rows in merged:
        yield pair_reader.old_pair(shape, key, record_rows, chat_rows).pair


def read_old_pair(connection: Connection, shape: LegacyShape, key: PairKey) -> OldPair:
    """Give one pair; without rows if the old tables know nothing of it."""
    return pair_reader.read_old_pair(partial(_rows, connection), layout_of(connection, shape), key)


def pair_of_chat(connection: Connection, shape: LegacyShape, chat_id: str) -> Pair | None:
    """Give the pair whose chat this is, by the old chats, else by a record that names it."""
    return pair_reader.pair_of_chat(
        partial(_rows, connection), layout_of(connection, shape), chat_id
    )


def chats_known(connection: Connection, shape: LegacyShape, chat_ids: Sequence[str]) -> set[str]:
    """Give those of the chats that are in the old chats, whosever they are."""
    layout = layout_of(connection, shape)
    return {
        chat_id
        for chat_id in chat_ids
        if _rows(connection, queries.chat_known_sql(layout), {"chat_id": chat_id})
    }


def rows_after(connection: Connection, shape: LegacyShape, after: PairKey | None) -> int:
    """Give how many rows of records and chats come after a pair."""
    layout = layout_of(connection, shape)
    sql = queries.count_sql(layout, is_after=after is not None)
    return int(_rows(connection, sql, pair_reader.parameters(after or ("", "")))[0][0])


def old_balances(
    connection: Connection,
    shape: LegacyShape,
    after: str | None = None,
    *,
    with_free_time: bool = False,
) -> Iterator[OldBalance]:
    """Yield the users after ``after`` in order, byte by byte, each once with its rows' sum.

    ``with_free_time``: those too that have no balance, but have used free time.
    """
    layout = layout_of(connection, shape)
    where = "true" if after is None else '{user} COLLATE "C" > %(user_id)s'
    sql = queries.balances_sql(layout, where, with_free_time=with_free_time)
    for user_id, balance, rows in _stream(connection, sql, {"user_id": after}):
        micro, remainder = whole(balance, MICRO_DIGITS)
        yield OldBalance(user_id, micro, remainder, rows)


def balances_of(
    connection: Connection, shape: LegacyShape, users: Sequence[str]
) -> list[OldBalance]:
    """Give these users; those without a row are left out."""
    layout = layout_of(connection, shape)
    sql = queries.balances_sql(layout, "{user} = ANY(%(users)s)")
    rows = _rows(connection, sql, {"users": list(users)})
    return [OldBalance(user, *whole(balance, MICRO_DIGITS), count) for user, balance, count in rows]


def count_balances(connection: Connection, shape: LegacyShape) -> int:
    """Give how many rows the old credits have."""
    table = layout_of(connection, shape).source("credits_table")
    return int(_rows(connection, f"SELECT count(*) FROM {table} b", {})[0][0])  # noqa: S608 - checked


def fingerprint(connection: Connection, shape: LegacyShape) -> dict[str, tuple[int, int]]:
    """Give rows and a sum over their texts of each old table: whatever changed, this differs."""
    layout = layout_of(connection, shape)
    found = {}
    for setting in filter(layout.has, TABLES):
        count, total = _rows(connection, queries.fingerprint_sql(layout, setting), {})[0]
        found[getattr(shape.names, setting)] = (count, int(total))
    return found


def _merged(
    records: Iterator[Any], chats: Iterator[Any]
) -> Iterator[tuple[PairKey, list[Any], list[Any]]]:
    """Both streams by pair; each is in order, and so is what comes out."""
    grouped = _groups(records, _RECORD_KEY), _groups(chats, _CHAT_KEY)
    heads = [next(group, None) for group in grouped]
    while any(heads):
        key = min(head[0] for head in heads if head is not None)
        rows: list[list[Any]] = [[], []]
        for i, head in enumerate(heads):
            if head is not None and head[0] == key:
                rows[i], heads[i] = head[1], next(grouped[i], None)
        yield key, rows[0], rows[1]


def _groups(rows: Iterator[Any], key: Any) -> Iterator[tuple[PairKey, list[Any]]]:
    return ((found, list(group)) for found, group in groupby(rows, key))


def _stream(connection: Connection, sql: str, parameters: Mapping[str, Any]) -> Iterator[Any]:
    # yield_per makes it a cursor of the server: millions of rows do not fit in memory.
    options = {"yield_per": _FETCH_ROWS}
    return iter(connection.exec_driver_sql(sql, dict(parameters), execution_options=options))


def _rows(connection: Connection, sql: str, parameters: Mapping[str, Any]) -> list[Any]:
    """Few rows; none for an id that the column's type can't hold, such as a letter in a number."""
    savepoint = connection.begin_nested()
    try:
        found = list(connection.exec_driver_sql(sql, dict(parameters)).all())
    except DataError:
        savepoint.rollback()
        return []
    savepoint.commit()
    return found
