"""Statements that write any number of rows: one array per column, unnested by the server."""

from collections.abc import Callable, Sequence
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
        columns = tuple(map(list, zip(*rows, strict=True)))
        for part, column in zip(self.parts, columns, strict=True):
            part.check(column)
        return connection.exec_driver_sql(self.sql, columns).rowcount


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
