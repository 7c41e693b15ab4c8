"""Where the old tables are and what their columns hold, looked up once for each database."""

import re
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple, Protocol, TypeAlias
from weakref import WeakKeyDictionary

from daemon.legacy.errors import LegacyError
from daemon.legacy.store.names import TABLES, LegacyNames, quoted, table_setting
from daemon.legacy.store.shape import LegacyShape

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
_ZONE: Final = "SELECT 1 FROM pg_timezone_names WHERE name = %s"
_TEXT: Final = r"text|character varying.*|character\(.*|bpchar"
_ANY: Final = re.compile(".*")
_TIME: Final = ("a time", re.compile(rf"timestamp.*|date|{_TEXT}"))
_NUMBER: Final = (
    "a number",
    re.compile(rf"smallint|integer|bigint|numeric.*|real|double precision|{_TEXT}"),
)
_WANTED: Final = {
    **dict.fromkeys(
        (
            "records_started_at", "records_ended_at", "records_last_resumed_at",
            "records_created_at", "records_updated_at", "chats_created_at", "chats_ended_at",
        ),
        _TIME,
    ),
    **dict.fromkeys(
        (
            "records_total_seconds", "records_credits_used", "records_free_used", "records_rate",
            "chats_duration", "credits_balance",
        ),
        _NUMBER,
    ),
}  # fmt: skip
"""What a column has to be, by its setting, and the SQL types that can be read as that."""


Rows: TypeAlias = Callable[[str, Any], list[Any]]
"""Puts a statement with parameters to the old database. No driver is named in here: a backend's
client reads the old tables too, and brings in none that it does not need."""


class Layout(NamedTuple):
    """The old tables as they were found."""

    shape: LegacyShape
    types: dict[str, str]
    """The SQL type of each column that is there, by the name's setting."""
    is_chat_unique: bool
    """Whether the database makes sure that no two chats have one id."""

    def has(self, setting: str) -> bool:
        """Whether the old system has that table or column, by the setting of its name."""
        return self.shape.names.has(setting)

    def sql(self, name: str) -> str:
        """A table or column for SQL, by the setting of its name."""
        return quoted(getattr(self.shape.names, name))

    def source(self, table: str) -> str:
        """A table to select from; one that the old system does not have is empty."""
        if self.has(table):
            return self.sql(table)
        names = (name for name in LegacyNames._fields if table_setting(name) == table != name)
        columns = {self.sql(name): name for name in names if getattr(self.shape.names, name)}
        return f"(SELECT {', '.join(f'NULL::text AS {sql}' for sql in columns)} WHERE false)"

    def column(self, alias: str, setting: str) -> str:
        """A column for SQL; one that the old system does not have is NULL in every row."""
        return f"{alias}.{self.sql(setting)}" if self.has(setting) else "NULL::text"

    def type(self, setting: str) -> str:
        """A column's SQL type."""
        return self.types.get(setting, "text")


class Connected(Protocol):
    """SQLAlchemy's connection, as far as it is used here."""

    @property
    def engine(self) -> Any:
        """One for each database."""

    def exec_driver_sql(self, statement: str, parameters: Any = None) -> Any:
        """Execute a statement as it stands."""


_known: WeakKeyDictionary[Any, dict[LegacyShape, Layout]] = WeakKeyDictionary()


def layout_of(connection: Connected, shape: LegacyShape) -> Layout:
    """Give the layout, looked up at the first call for a database.

    Raises:
        LegacyError: A table or column is not there, or is of a type that does not fit; its setting
            is named.
    """
    known = _known.setdefault(connection.engine, {})
    if shape not in known:
        known[shape] = look(lambda sql, given: _all(connection, sql, given), shape)
    return known[shape]


def look(rows: Rows, shape: LegacyShape) -> Layout:
    """Look the layout up.

    Raises:
        LegacyError: As ``layout_of``.
    """
    names = shape.names
    tables = {
        setting: _table(rows, getattr(names, setting)) for setting in TABLES if names.has(setting)
    }
    found = {setting: _columns(rows, oid) for setting, oid in tables.items() if oid}
    if wrong := list(_missing(names, found)):
        raise LegacyError("\n".join(wrong))
    types = {
        setting: found[table_setting(setting)][getattr(names, setting)]
        for setting in LegacyNames._fields
        if setting not in TABLES and names.has(setting)
    }
    if wrong := [*_unfit(names, types), *_unknown_zone(rows, shape.time_zone)]:
        raise LegacyError("\n".join(wrong))
    is_chat_unique = True
    if names.has("chats_table"):
        is_chat_unique = bool(rows(_UNIQUE, (tables["chats_table"], names.chats_id))[0][0])
    return Layout(shape, types, is_chat_unique)


def _missing(names: LegacyNames, found: dict[str, dict[str, str]]) -> Iterator[str]:
    for setting in filter(names.has, LegacyNames._fields):
        name, table = getattr(names, setting), table_setting(setting)
        if setting in TABLES and setting not in found:
            yield f"legacy.{setting}: there is no table {name} in the old database"
        if setting not in TABLES and table in found and name not in found[table]:
            there = ", ".join(found[table])
            yield f"legacy.{setting}: {getattr(names, table)} has no column {name}, only {there}"


def _unfit(names: LegacyNames, types: dict[str, str]) -> Iterator[str]:
    for setting, type_ in types.items():
        wanted, fitting = _WANTED.get(setting, ("", _ANY))
        if not fitting.fullmatch(type_):
            table = getattr(names, table_setting(setting))
            yield (
                f"legacy.{setting}: {table}.{getattr(names, setting)} is {type_}, not {wanted}:"
                " name a view that makes one of it (docs/migration.md, Views)"
            )


def _unknown_zone(rows: Rows, zone: str) -> Iterator[str]:
    if zone != "UTC" and not rows(_ZONE, (zone,)):
        yield f"legacy.time_zone: the old database knows no time zone {zone}"


def _table(rows: Rows, name: str) -> int | None:
    oid: int | None = rows(_TABLE, (quoted(name),))[0][0]
    return oid


def _columns(rows: Rows, oid: int) -> dict[str, str]:
    return {row[0]: row[1] for row in rows(_COLUMNS, (oid,))}


def _all(connection: Connected, sql: str, parameters: Any) -> list[Any]:
    return list(connection.exec_driver_sql(sql, parameters))
