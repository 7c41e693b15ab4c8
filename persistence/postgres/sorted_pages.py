"""Chats in order of what they cost, how long they were active, or their rate, as of one moment.

A running chat counts as it is at that moment, by the rules of billing: its record is as of its last
change. No index has that, so all chats of the filter are looked at for each page.
"""

from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Numeric,
    Select,
    case,
    cast,
    extract,
    func,
    literal,
    select,
    tuple_,
)

from persistence.postgres.convert import integers
from persistence.postgres.pages import ENDED, OPEN, ChatFilter, Conditions, conditions_of, one_of
from persistence.postgres.rows import RecordRow
from persistence.postgres.tables import chat_time_records

SortBy = Literal["cost", "active_ms", "rate"]

_records = chat_time_records.c
_WHOLE: Final = Numeric(40, 0)


class Sorting(NamedTuple):
    """What chats are in order of, as of which moment, and whether the least comes first."""

    by: SortBy
    now_ms: int
    is_up: bool = False


class SortedPosition(NamedTuple):
    """Where a page ended: milliseconds or micro-credits, and the chat."""

    value: int
    name: str


class SortedRow(NamedTuple):
    """A record with what it was sorted by: milliseconds or micro-credits."""

    value: int
    record: RecordRow


def sorted_page(
    connection: Connection,
    wanted: ChatFilter,
    sorting: Sorting,
    limit: int,
    after: SortedPosition | None = None,
) -> list[SortedRow]:
    """Give the wanted chats that come after a place, in order.

    Raises:
        ValueError: A text or moment that PostgreSQL can't hold.
    """
    rows = connection.execute(sorted_page_query(wanted, sorting, limit, after))
    return [SortedRow(int(row[0]), RecordRow._make(integers(row[1:]))) for row in rows]


def sorted_page_query(
    wanted: ChatFilter, sorting: Sorting, limit: int, after: SortedPosition | None = None
) -> Select[Any]:
    """Give the statement, so that a test can see its plan."""
    value = _VALUES[sorting.by](sorting.now_ms)
    query = select(value.label("value"), chat_time_records).where(*_conditions(wanted))
    sorted_rows = query.subquery()
    place = tuple_(sorted_rows.c.value, sorted_rows.c.chat_id)
    rows = select(sorted_rows)
    if after is not None:
        last = tuple_(cast(literal(after.value, _WHOLE), _WHOLE), literal(after.name))
        rows = rows.where(place > last if sorting.is_up else place < last)
    columns = sorted_rows.c.value, sorted_rows.c.chat_id
    order = [column.asc() if sorting.is_up else column.desc() for column in columns]
    return rows.order_by(*order).limit(limit)


def _conditions(wanted: ChatFilter) -> Conditions:
    statuses = wanted.statuses or (*OPEN, ENDED)
    conditions = [*conditions_of(wanted), _records.status == one_of(statuses)]
    if ENDED not in statuses:
        conditions.append(_records.ended_at.is_(None))  # the index of open chats says so
    return conditions


def _active_ms(now_ms: int) -> ColumnElement[Any]:
    """Time running up to now; a record of later than now, by a clock that differs, adds none."""
    since_ms = now_ms - cast(extract("epoch", _records.updated_at) * 1000, BigInteger)
    ran_ms = case((_records.status == "running", func.greatest(since_ms, 0)), else_=0)
    return cast(_records.active_ms + ran_ms, _WHOLE)


def _cost_micro(now_ms: int) -> ColumnElement[Any]:
    """The cost up to now, at most a micro-credit less: records have no fractions of one."""
    grown_ms = _billed_ms(_active_ms(now_ms)) - _billed_ms(cast(_records.active_ms, _WHOLE))
    grown_micro = func.floor(grown_ms * _records.rate * 1_000_000 / 60_000)
    is_running = _records.status == "running"
    return cast(
        func.floor(_records.cost * 1_000_000) + case((is_running, grown_micro), else_=0), _WHOLE
    )


def _billed_ms(active_ms: ColumnElement[Any]) -> ColumnElement[Any]:
    """Billed time of an active time, as ``meterd.rules.billing`` has it."""
    step_ms = cast(func.greatest(_records.increment_ms, 1), _WHOLE)
    counted_ms = active_ms - _records.free_ms
    steps = case(
        (_records.increment_due == "end", func.floor(counted_ms / step_ms)),
        else_=func.ceil(counted_ms / step_ms),
    )
    billed_ms = func.greatest(_records.min_ms, steps * step_ms)
    return case((counted_ms > 0, billed_ms), else_=0)


def _rate_micro(_now_ms: int) -> ColumnElement[Any]:
    return cast(_records.rate * 1_000_000, _WHOLE)


_VALUES: Final = {"cost": _cost_micro, "active_ms": _active_ms, "rate": _rate_micro}
