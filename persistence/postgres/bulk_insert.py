"""Statements that write any number of rows: one array per column, unnested by the server.

An array travels as one text, in PostgreSQL's own notation. Handed over as a list, psycopg2 quotes
its elements one by one, and the server parses each as an expression: for 1 000 records that took
three times the client's time and twice the server's. COPY into a temporary table is no faster,
and leaves traces in the catalogue.
"""

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection

from persistence.postgres.convert import check_moments, check_texts

# Bounds the length of one statement; beyond a thousand rows, more a page gains nothing.
PAGE_ROWS: Final = 5_000


def _check_nothing(_: Sequence[Any]) -> None:
    pass


class Part(NamedTuple):
    """A column of the rows: the array it travels in, and what the server makes of it."""

    name: str
    array_type: str
    value: str
    check: Callable[[Sequence[Any]], None] = _check_nothing


def text(name: str) -> Part:
    """Give a part for text."""
    return Part(name, "text", name, check_texts)


def plain(name: str, array_type: str = "bigint") -> Part:
    """Give a part for what the server takes as it is."""
    return Part(name, array_type, name)


def micro(name: str) -> Part:
    """Give a part for micro-credits: numeric times numeric, so exact."""
    return Part(name, "numeric", f"{name} * 0.000001")


def moment(name: str) -> Part:
    """Give a part for milliseconds since 1970, read as an integer of milliseconds.

    Not ``ms * interval '1 ms'``, which multiplies as a float and is inexact from the year 4253.
    """
    return Part(name, "bigint", f"timestamptz 'epoch' + ({name} || 'ms')::interval", check_moments)


class InsertBatch(NamedTuple):
    """An INSERT for rows whose items are the parts, in that order."""

    sql: str
    parts: tuple[Part, ...]

    def write(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> int:
        """Insert the rows, page by page, in the caller's transaction; give how many went in."""
        pages = [rows[start : start + PAGE_ROWS] for start in range(0, len(rows), PAGE_ROWS)]
        return sum(self._write_page(connection, page) for page in pages)

    def _write_page(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> int:
        columns = list(zip(*rows, strict=True))
        for part, column in zip(self.parts, columns, strict=True):
            part.check(column)
        arrays = tuple(map(array_literal, columns)) or ("{}",) * len(self.parts)
        return connection.exec_driver_sql(self.sql, arrays).rowcount


Element = str | int | Decimal | None
"""What a column may hold; truth values are integers."""


def array_literal(values: Iterable[Element]) -> str:
    """One array in PostgreSQL's notation (documentation of PostgreSQL, 8.15.6).

    Args:
        values: the elements. A text is always quoted: an empty one and the word NULL are texts.

    Raises:
        TypeError: an element is of another type; a float is not exact.
    """
    return "{" + ",".join(map(_element, values)) + "}"


def _element(value: Element) -> str:
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    if value is None:
        return "NULL"
    if isinstance(value, int):
        return f"{value:d}"
    if isinstance(value, Decimal):
        return f"{value:f}"
    raise TypeError(f"{value!r} can't be written: {type(value).__name__}")


def batch(
    table: str, parts: tuple[Part, ...], derived: dict[str, str], conflict: str
) -> InsertBatch:
    """Make the statement; ``derived`` columns are computed by the server from the parts."""
    targets = {part.name: part.value for part in parts} | derived
    arrays = ", ".join(f"%s::{part.array_type}[]" for part in parts)
    names = ", ".join(part.name for part in parts)
    sql = (
        f"INSERT INTO {table} ({', '.join(targets)})"  # noqa: S608 - names from this package only
        f" SELECT {', '.join(targets.values())} FROM unnest({arrays}) AS rows ({names})"
        f" ON CONFLICT {conflict}"
    )
    return InsertBatch(sql, parts)
