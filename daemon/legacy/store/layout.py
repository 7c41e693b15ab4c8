"""Where the old tables are and what their columns hold, looked up once for each database."""

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple, Protocol, TypeAlias
from weakref import WeakKeyDictionary

from daemon.legacy.errors import LegacyError
from daemon.legacy.store.names import TABLES, LegacyNames, quoted, table_setting

_TABLE: Final = "SELECT to_regclass(%s)::oid::bigint"
_COLUMNS: Final = """
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
WHERE attrelid = %s::bigint::oid AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""
_UNIQUE: Final = """
SELECT count(*) FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid
WHERE i.indrelid = %s::bigint::oid AND i.indisunique AND i.indpred IS NULL AND i.indisvalid
  AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum AND a.attname = %s
"""


Rows: TypeAlias = Callable[[str, Any], list[Any]]
"""Puts a statement with parameters to the old database. No driver is named in here: a backend's
client reads the old tables too, and brings in none that it does not need."""


class Layout(NamedTuple):
    """The old tables as they were found."""

    names: LegacyNames
    types: dict[str, str]
    """The SQL type of each column, by the name's setting."""
    is_chat_unique: bool
    """Whether the database makes sure that no two chats have one id."""

    def sql(self, name: str) -> str:
        """A table or column for SQL, by the setting of its name."""
        return quoted(getattr(self.names, name))


class Connected(Protocol):
    """SQLAlchemy's connection, as far as it is used here."""

    @property
    def engine(self) -> Any:
        """One for each database."""

    def exec_driver_sql(self, statement: str, parameters: Any = None) -> Any:
        """Execute a statement as it stands."""


_known: WeakKeyDictionary[Any, dict[LegacyNames, Layout]] = WeakKeyDictionary()


def layout_of(connection: Connected, names: LegacyNames) -> Layout:
    """Give the layout, looked up at the first call for a database.

    Raises:
        LegacyError: A table or column is not there; its setting is named.
    """
    known = _known.setdefault(connection.engine, {})
    if names not in known:
        known[names] = look(lambda sql, given: _all(connection, sql, given), names)
    return known[names]


def look(rows: Rows, names: LegacyNames) -> Layout:
    """Look the layout up.

    Raises:
        LegacyError: A table or column is not there; its setting is named.
    """
    tables = {setting: _table(rows, getattr(names, setting)) for setting in TABLES}
    found = {setting: _columns(rows, oid) for setting, oid in tables.items() if oid}
    wrong = list(_wrong(names, found))
    if wrong:
        raise LegacyError("\n".join(wrong))
    types = {
        setting: found[table_setting(setting)][getattr(names, setting)]
        for setting in LegacyNames._fields
        if setting not in TABLES
    }
    unique = rows(_UNIQUE, (tables["chats_table"], names.chats_id))[0][0]
    return Layout(names, types, bool(unique))


def _wrong(names: LegacyNames, found: dict[str, dict[str, str]]) -> Iterator[str]:
    for setting in LegacyNames._fields:
        name, table = getattr(names, setting), table_setting(setting)
        if setting in TABLES and setting not in found:
            yield f"legacy.{setting}: there is no table {name} in the old database"
        if setting not in TABLES and table in found and name not in found[table]:
            there = ", ".join(found[table])
            yield f"legacy.{setting}: {getattr(names, table)} has no column {name}, only {there}"


def _table(rows: Rows, name: str) -> int | None:
    oid: int | None = rows(_TABLE, (quoted(name),))[0][0]
    return oid


def _columns(rows: Rows, oid: int) -> dict[str, str]:
    return {row[0]: row[1] for row in rows(_COLUMNS, (oid,))}


def _all(connection: Connected, sql: str, parameters: Any) -> list[Any]:
    return list(connection.exec_driver_sql(sql, parameters))
