"""The journal's partitions: months of UTC, one for what was there before, one for all the rest.

A row is never refused for want of a partition: what no month takes comes into the default one. It
is made a partition of its own time when there is a chance, without rewriting it.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final, NamedTuple

from sqlalchemy import Connection, text

from persistence.postgres.convert import datetime_from_ms, ms_from_datetime

MONTHS_AHEAD: Final = 3
"""Months that are made before they begin; each command that may makes them again."""
ORDERED_MS_MIN: Final = 10**12
ORDERED_MS_END: Final = 10**13
"""Times whose stream IDs have 13 digits, so that their order as text is that of time."""

_DEFAULT: Final = "command_journal_default"
_BOUND: Final = re.compile(r"FOR VALUES FROM \((MINVALUE|'\d+')\) TO \('(\d+)'\)")
_TREE: Final = text("""
SELECT c.relname, pg_get_expr(c.relpartbound, c.oid)
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'command_journal'::regclass
""")
_IS_OWNER: Final = text(
    "SELECT pg_has_role(relowner, 'USAGE') FROM pg_class"
    " WHERE oid = 'command_journal'::regclass AND relkind = 'p'"
)
_FOUND: Final = f"SELECT min(at_ms), max(at_ms) FROM {_DEFAULT}"  # noqa: S608
_APPEND_ONLY: Final = """
CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}
FOR EACH STATEMENT EXECUTE FUNCTION meterd_refuse('command_journal is append-only')
"""


class JournalPartition(NamedTuple):
    """A partition of the journal that has a time of its own."""

    name: str
    from_ms: int
    """The first millisecond of its IDs; 0: from the beginning."""
    to_ms: int
    """The first millisecond after them."""


def partitions(connection: Connection) -> list[JournalPartition]:
    """Give the partitions that have a time, the oldest first."""
    found = []
    for name, bound in connection.execute(_TREE):
        parsed = _BOUND.fullmatch(bound)
        if parsed is not None:
            lower = 0 if parsed[1] == "MINVALUE" else int(parsed[1].strip("'"))
            found.append(JournalPartition(name, lower, int(parsed[2])))
    return sorted(found, key=lambda one: one.to_ms)


def is_owner(connection: Connection) -> bool:
    """Whether this role may make and drop partitions of the journal."""
    return bool(connection.scalar(_IS_OWNER))


def rows_without_partition(connection: Connection, before_ms: int) -> int:
    """Give how many rows before then no partition with a time has."""
    found = f"SELECT count(*) FROM {_DEFAULT} WHERE at_ms < %s"  # noqa: S608
    return int(connection.exec_driver_sql(found, (before_ms,)).scalar_one())


def ensure_partitions(connection: Connection, now_ms: int) -> list[str]:
    """Make the months that are near, in the caller's transaction; give the names of new ones.

    Nothing is done by a role that does not own the journal.
    """
    if not is_owner(connection):
        return []
    made = list(_roll(connection))
    month = _month_of(now_ms)
    for _ in range(MONTHS_AHEAD + 1):
        begin_ms, month = _ms(month), _next(month)
        one = JournalPartition(_name("", begin_ms), begin_ms, _ms(month))
        if _is_free(connection, one):
            _create(connection, one)
            made.append(one.name)
    return made


def drop_partitions(connection: Connection, names: list[str]) -> None:
    """Drop partitions, in the caller's transaction: all of the journal is locked until its end."""
    for name in names:
        connection.exec_driver_sql(f"DROP TABLE {_identifier(name)}")


def lock_partitions(connection: Connection, names: list[str]) -> None:
    """Let no row come into the partitions until the end of the caller's transaction."""
    for name in names:
        connection.exec_driver_sql(f"LOCK TABLE ONLY {_identifier(name)} IN SHARE MODE")


def count_rows(connection: Connection, names: list[str]) -> int:
    """Give how many rows the partitions have."""
    counts = (f"SELECT count(*) FROM {_identifier(name)}" for name in names)  # noqa: S608
    return sum(int(connection.exec_driver_sql(sql).scalar_one()) for sql in counts)


def _roll(connection: Connection) -> Iterator[str]:
    """Make what is in the default partition one of its own time, and a new default one.

    The server looks at each row once, to see that it is of this time. Rows whose IDs are not in
    order of time, or that are on both sides of a month's partition, stay where they are.
    """
    first_ms, last_ms = connection.exec_driver_sql(_FOUND).one()
    if first_ms is None or first_ms < ORDERED_MS_MIN or last_ms >= ORDERED_MS_END:
        return
    known = partitions(connection)
    from_ms = max((one.to_ms for one in known if one.to_ms <= first_ms), default=0)
    limits = [one.from_ms for one in known if one.from_ms > first_ms]
    to_ms = min(_ms(_next(_month_of(last_ms))), *limits, ORDERED_MS_END)
    if last_ms >= to_ms or any(one.from_ms <= first_ms < one.to_ms for one in known):
        return
    new = JournalPartition(_name("to_", to_ms), from_ms, to_ms)
    sql = connection.exec_driver_sql
    sql(f"ALTER TABLE command_journal DETACH PARTITION {_DEFAULT}")
    sql(f"ALTER TABLE {_DEFAULT} RENAME TO {new.name}")
    sql(f"ALTER TABLE command_journal ATTACH PARTITION {new.name} {_values(new)}")
    sql(f"CREATE TABLE {_DEFAULT} PARTITION OF command_journal DEFAULT")
    sql(_APPEND_ONLY.format(table=_DEFAULT))
    yield new.name


def _is_free(connection: Connection, wanted: JournalPartition) -> bool:
    for one in partitions(connection):
        if one.from_ms < wanted.to_ms and wanted.from_ms < one.to_ms:
            return False
    found = f"SELECT 1 FROM {_DEFAULT} WHERE at_ms >= %s AND at_ms < %s LIMIT 1"  # noqa: S608
    return connection.exec_driver_sql(found, (wanted.from_ms, wanted.to_ms)).scalar() is None


def _create(connection: Connection, new: JournalPartition) -> None:
    sql = connection.exec_driver_sql
    sql(f"CREATE TABLE {new.name} PARTITION OF command_journal {_values(new)}")
    sql(_APPEND_ONLY.format(table=new.name))


def _values(one: JournalPartition) -> str:
    lower = f"'{one.from_ms}'" if one.from_ms else "MINVALUE"
    return f"FOR VALUES FROM ({lower}) TO ('{one.to_ms}')"


def _name(prefix: str, at_ms: int) -> str:
    return f"command_journal_{prefix}{datetime_from_ms(at_ms):%Y_%m}"


def _identifier(name: str) -> str:
    assert re.fullmatch("[a-z0-9_]+", name), "partitions are named here"
    return name


def _month_of(at_ms: int) -> datetime:
    return datetime_from_ms(at_ms).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _next(month: datetime) -> datetime:
    year, number = divmod(month.year * 12 + month.month, 12)
    return datetime(year, number + 1, 1, tzinfo=UTC)


def _ms(month: datetime) -> int:
    return ms_from_datetime(month)
