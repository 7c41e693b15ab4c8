"""Chats found by what they, their user or their advisor are called, of any status and age.

What is called exactly so comes first: the chat, then chats of the user or advisor; then open chats
that have the part in a name, at last ended ones, each the latest start first. Ended chats are as
many as there ever were, and no index knows parts of names: of them one page looks at so many at
most. So a page may be short, or empty, and yet have a next one.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, select

from persistence.postgres.convert import integers
from persistence.postgres.pages import (
    ENDED,
    OPEN,
    ChatFilter,
    Conditions,
    PagePosition,
    comes_after,
    conditions_of,
    found,
    in_order,
    merged,
    one_of,
    parts_of,
)
from persistence.postgres.rows import RecordRow
from persistence.postgres.tables import chat_time_records

LOOKED_AT_MAX: Final = 50_000
"""Ended chats that one page looks at: 60 ms, measured on records that were in memory."""

_records = chat_time_records.c


class SearchPosition(NamedTuple):
    """Where a page ended: in which stage of the search, and there where."""

    stage: int
    at: PagePosition


class SearchPage(NamedTuple):
    """What was found, and where to go on; None if all has been looked at."""

    rows: list[RecordRow]
    next: SearchPosition | None


def search_page(
    connection: Connection, wanted: ChatFilter, limit: int, after: SearchPosition | None = None
) -> SearchPage:
    """Give what is found after a place; ``wanted.search`` is not empty.

    Raises:
        ValueError: A text or moment that PostgreSQL can't hold.
    """
    begin, place = (after.stage, after.at) if after else (0, None)
    rows: list[RecordRow] = []
    last = after
    for stage in range(begin, len(STAGES)):
        query = STAGES[stage](wanted, limit + 1 - len(rows), place)
        for row in connection.execute(query) if query is not None else ():
            if len(rows) == limit:
                return SearchPage(rows, last)
            rows.append(RecordRow._make(integers(row)))
            last = SearchPosition(stage, PagePosition(rows[-1].started_at_ms, rows[-1].chat_id))
        if stage < len(STAGES) - 1:
            place = None
    return SearchPage(rows, _end_of_look(connection, wanted, place))


def _end_of_look(
    connection: Connection, wanted: ChatFilter, place: PagePosition | None
) -> SearchPosition | None:
    """Where the page's look at ended chats ended, if there are more of them."""
    if not _has_ended(wanted):
        return None
    ended = _ended(wanted, place).subquery()
    query = select(ended.c.started_at, ended.c.chat_id).offset(LOOKED_AT_MAX - 1)
    row = connection.execute(query).one_or_none()
    return None if row is None else SearchPosition(_LAST, PagePosition(*integers(row)))


def _exact_chat(wanted: ChatFilter, limit: int, place: PagePosition | None) -> Any:
    is_it = [_records.chat_id == wanted.search]
    return in_order(_base(wanted) + is_it + _of_statuses(wanted) + _after(place), limit)


def _exact_people(wanted: ChatFilter, limit: int, place: PagePosition | None) -> Any:
    name = wanted.search
    conditions = [*_base(wanted), *_of_statuses(wanted), *_after(place), _records.chat_id != name]
    of_user = [_records.user_id == name]
    of_advisor = [_records.advisor_id == name, _records.user_id != name]
    return merged([in_order(conditions + one, limit) for one in (of_user, of_advisor)], limit)


def _open_parts(wanted: ChatFilter, limit: int, place: PagePosition | None) -> Any:
    statuses = [status for status in _statuses(wanted) if status in OPEN]
    if not statuses:
        return None
    (is_open,) = parts_of(statuses)
    conditions = _base(wanted) + is_open + _has_part(wanted.search) + _after(place)
    return in_order(conditions, limit)


def _ended_parts(wanted: ChatFilter, limit: int, place: PagePosition | None) -> Any:
    if not _has_ended(wanted):
        return None
    looked_at = _ended(wanted, place).subquery()
    columns = looked_at.c
    names = columns.chat_id, columns.user_id, columns.advisor_id
    conditions = [*_is_exactly_none(names, wanted.search), *found(wanted.search, *names)]
    newest = columns.started_at.desc(), columns.chat_id.desc()
    return select(looked_at).where(*conditions).order_by(*newest).limit(limit)


def _ended(wanted: ChatFilter, place: PagePosition | None) -> Any:
    """The ended chats that a page looks at."""
    is_ended = [_records.ended_at.is_not(None)]
    return in_order(_base(wanted) + is_ended + _after(place), LOOKED_AT_MAX)


_Stage = Callable[[ChatFilter, int, PagePosition | None], Any]
STAGES: Final[tuple[_Stage, ...]] = (_exact_chat, _exact_people, _open_parts, _ended_parts)
"""The statements of a search, in turn; None where no chat can be found by one."""
_LAST: Final = len(STAGES) - 1


def _base(wanted: ChatFilter) -> Conditions:
    return conditions_of(wanted._replace(search=""))


def _statuses(wanted: ChatFilter) -> tuple[str, ...]:
    return wanted.statuses or (*OPEN, ENDED)


def _has_ended(wanted: ChatFilter) -> bool:
    return ENDED in _statuses(wanted)


def _of_statuses(wanted: ChatFilter) -> Conditions:
    return [_records.status == one_of(_statuses(wanted))]


def _has_part(part: str) -> Conditions:
    names = (_records.chat_id, _records.user_id, _records.advisor_id)
    return [*_is_exactly_none(names, part), *found(part, *names)]


def _is_exactly_none(names: Any, text: str) -> Conditions:
    return [name != text for name in names]


def _after(place: PagePosition | None) -> Conditions:
    if place is None:
        return []
    return [comes_after(_records.started_at, _records.chat_id, place)]
