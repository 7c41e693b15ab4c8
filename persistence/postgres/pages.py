"""Lists for people, page by page: each page begins where the one before ended.

A page is found by its place, not by counting rows, so the hundredth costs what the first does and
nothing is skipped or shown twice while rows are added at the front. Limits are the caller's.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    CompoundSelect,
    Connection,
    Select,
    Text,
    any_,
    func,
    literal,
    or_,
    select,
    tuple_,
    union_all,
)

from persistence.postgres.convert import (
    check_moments,
    check_texts,
    datetime_from_ms,
    integers,
    micro_from_credits,
)
from persistence.postgres.rows import LedgerRow, RecordRow
from persistence.postgres.tables import chat_time_records, ledger_entries

OPEN: Final = ("running", "paused", "suspended")
ENDED: Final = "ended"

_records = chat_time_records.c
_ledger = ledger_entries.c

Query = Select[Any] | CompoundSelect[Any]
Conditions = list[ColumnElement[bool]]


class PagePosition(NamedTuple):
    """Where a page ended: the next one has what comes after it."""

    at_ms: int
    name: str
    """``chat_id`` or ``entry_id``: many may be of the same millisecond."""


class Period(NamedTuple):
    """From a millisecond to before another one; None: without that bound."""

    from_ms: int | None = None
    to_ms: int | None = None


ALWAYS: Final = Period()


class ChatFilter(NamedTuple):
    """Which chats are wanted; what is left out does not matter."""

    user_id: str | None = None
    advisor_id: str | None = None
    statuses: tuple[str, ...] = ()
    """Any of these; empty for all."""
    search: str = ""
    """A part of the chat's, the user's or the advisor's name, as it stands."""
    started: Period = ALWAYS
    oldest_first: bool = False
    """The earliest start first, not the latest."""


def chats_page(
    connection: Connection, wanted: ChatFilter, limit: int, after: PagePosition | None = None
) -> list[RecordRow]:
    """Give the wanted chats that come after a place, in order of their start.

    Raises:
        ValueError: A search in ended chats, too many to look at each of them (there is
            ``search_page``); or a text or moment that PostgreSQL can't hold.
    """
    rows = connection.execute(chats_page_query(wanted, limit, after))
    return [RecordRow._make(integers(row)) for row in rows]


def chats_page_query(wanted: ChatFilter, limit: int, after: PagePosition | None = None) -> Query:
    """Give the statement, so that a test can see its plan."""
    statuses = tuple(dict.fromkeys(wanted.statuses)) or (*OPEN, ENDED)
    if wanted.search and not set(statuses) <= set(OPEN):
        raise ValueError("only open chats can be searched")
    up = wanted.oldest_first
    conditions = conditions_of(wanted)
    if after is not None:
        conditions.append(comes_after(_records.started_at, _records.chat_id, after, up))
    if wanted.user_id is not None or wanted.advisor_id is not None:
        # One index has all of theirs in order; to name ended_at would invite another one.
        return in_order([*conditions, _records.status == one_of(statuses)], limit, up)
    return merged(
        [in_order(conditions + part, limit, up) for part in parts_of(statuses)], limit, up
    )


def conditions_of(wanted: ChatFilter) -> Conditions:
    """Give the conditions of a filter but for its statuses.

    Raises:
        UnstorableError: A text or moment that PostgreSQL can't hold.
    """
    started = within(_records.started_at, wanted.started)
    return [*_whose(wanted), *found(wanted.search), *started]


def running_page(connection: Connection, wanted: ChatFilter, limit: int) -> list[tuple[str, str]]:
    """Give the wanted running chats, each with its user, in no order.

    Raises:
        UnstorableError: A text or moment that PostgreSQL can't hold.
    """
    running = (_records.ended_at.is_(None), _records.status == "running")
    query = select(_records.chat_id, _records.user_id).where(*conditions_of(wanted), *running)
    return [(chat_id, user_id) for chat_id, user_id in connection.execute(query.limit(limit))]


def open_of_user(connection: Connection, user_id: str, limit: int) -> list[RecordRow]:
    """Give the user's open chats, the latest start first."""
    return chats_page(connection, ChatFilter(user_id, statuses=OPEN), limit)


def ledger_page(
    connection: Connection,
    user_id: str,
    limit: int,
    after: PagePosition | None = None,
    period: Period = ALWAYS,
) -> list[LedgerRow]:
    """Give the user's entries of a period that come after a place, the newest first.

    Raises:
        ValueError: A text or moment that PostgreSQL can't hold.
    """
    rows = connection.execute(ledger_page_query(user_id, limit, after, period))
    return [LedgerRow._make(integers(row)) for row in rows]


def ledger_page_query(
    user_id: str, limit: int, after: PagePosition | None = None, period: Period = ALWAYS
) -> Query:
    """Give the statement, so that a test can see its plan."""
    check_texts((user_id,))
    of_user = _ledger.user_id == user_id
    query = select(ledger_entries).where(of_user, *within(_ledger.at, period))
    if after is not None:
        query = query.where(comes_after(_ledger.at, _ledger.entry_id, after))
    return query.order_by(_ledger.at.desc(), _ledger.entry_id.desc()).limit(limit)


def balance_of_user(connection: Connection, user_id: str) -> int | None:
    """Give what the user's entries come to in micro-credits; None if there is none.

    What open chats have cost so far is in no entry yet.
    """
    total = connection.scalar(balance_of_user_query(user_id))
    return None if total is None else micro_from_credits(total)


def balance_of_user_query(user_id: str) -> Query:
    """Give the statement, so that a test can see its plan."""
    check_texts((user_id,))
    return select(func.sum(_ledger.amount)).where(_ledger.user_id == user_id)


def open_counts(connection: Connection) -> dict[str, int]:
    """Give how many chats are open, by status; a status that no chat has is left out."""
    rows: Any = connection.execute(open_counts_query()).all()
    return dict(rows)


def open_counts_query() -> Query:
    """Give the statement, so that a test can see its plan."""
    is_open = _records.ended_at.is_(None)
    return select(_records.status, func.count()).where(is_open).group_by(_records.status)


def _whose(wanted: ChatFilter) -> Conditions:
    check_texts((wanted.user_id, wanted.advisor_id))
    named = ((_records.user_id, wanted.user_id), (_records.advisor_id, wanted.advisor_id))
    return [column == name for column, name in named if name is not None]


def found(part: str, *names: ColumnElement[str]) -> Conditions:
    """Give the condition that the part is somewhere in a name, letter for letter.

    LIKE would take some letters as wildcards. Without ``names``, those of the records.

    Raises:
        UnstorableError: A text that PostgreSQL can't hold.
    """
    check_texts((part,))
    if not part:
        return []
    columns = names or (_records.chat_id, _records.user_id, _records.advisor_id)
    return [or_(*(func.strpos(name, part) > 0 for name in columns))]


def within(at: ColumnElement[Any], period: Period) -> Conditions:
    """Give the conditions of a period. Raises UnstorableError: PostgreSQL can't hold the moment."""
    check_moments(period)
    bounds: Conditions = []
    if period.from_ms is not None:
        bounds.append(at >= datetime_from_ms(period.from_ms))
    if period.to_ms is not None:
        bounds.append(at < datetime_from_ms(period.to_ms))
    return bounds


def comes_after(
    at: ColumnElement[Any], name: ColumnElement[Any], after: PagePosition, is_up: bool = False
) -> Any:
    """Give the condition of what comes after a place, the newest or (``is_up``) oldest first.

    Raises:
        UnstorableError: PostgreSQL can't hold the place.
    """
    check_moments((after.at_ms,))
    check_texts((after.name,))
    place = tuple_(literal(datetime_from_ms(after.at_ms)), literal(after.name))
    return tuple_(at, name) > place if is_up else tuple_(at, name) < place


def parts_of(statuses: Sequence[str]) -> list[Conditions]:
    """Give the statuses in the words of the partial indexes: one has open chats, one ended ones.

    Of open chats those of other statuses are passed over: they are few, and an index by status
    would be written at every pause.
    """
    parts: list[Conditions] = []
    is_open = [status for status in statuses if status != ENDED]
    if is_open:
        some = [_records.status == one_of(is_open)] if set(is_open) < set(OPEN) else []
        parts.append([_records.ended_at.is_(None), *some])
    if ENDED in statuses:
        parts.append([_records.ended_at.is_not(None)])
    return parts


def in_order(conditions: Conditions, limit: int, is_up: bool = False) -> Select[Any]:
    """Give the records of these conditions in order of their start."""
    query = select(chat_time_records).where(*conditions)
    return query.order_by(*_by_start(_records, is_up)).limit(limit)


def merged(pages: list[Select[Any]], limit: int, is_up: bool = False) -> Query:
    """Merge pages, each found by itself: of each no more is read than is shown."""
    if len(pages) == 1:
        return pages[0]
    rows = union_all(*(select(page.subquery()) for page in pages)).subquery()
    return select(rows).order_by(*_by_start(rows.c, is_up)).limit(limit)


def _by_start(columns: Any, is_up: bool) -> tuple[Any, Any]:
    if is_up:
        return columns.started_at.asc(), columns.chat_id.asc()
    return columns.started_at.desc(), columns.chat_id.desc()


def one_of(texts: Sequence[str]) -> Any:
    """Give what a column is compared with that may be any of these."""
    return any_(literal(list(texts), ARRAY(Text)))
