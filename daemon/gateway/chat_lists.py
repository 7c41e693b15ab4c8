"""Lists of chats in every order: what comes after a place, and where the next page begins."""

from typing import Any, Final, Literal, NamedTuple

import msgspec
from sqlalchemy import Connection

from daemon.gateway.container import Dependencies
from daemon.gateway.cursors import (
    pack_cursor,
    page_and_next,
    unpack_place,
    unpack_search,
    unpack_sorted,
)
from daemon.gateway.errors import invalid
from persistence.postgres.pages import ChatFilter, chats_page, running_page
from persistence.postgres.reader import fetch_records
from persistence.postgres.rows import RecordRow
from persistence.postgres.search import search_page
from persistence.postgres.sorted_pages import SortedPosition, Sorting, sorted_page

SortName = Literal["started", "cost", "active_ms", "rate", "left"]
OrderName = Literal["asc", "desc"]

RUNNING_MAX: Final = 10_000
"""Running chats whose accounts' ends are compared for one page."""
_WALLETS_AT_ONCE: Final = 500
_NEVER: Final = 2**53
"""In the place of a moment: an account that nothing burns lasts longer than any other."""


class ListOrder(NamedTuple):
    """In which order chats are listed."""

    by: SortName = "started"
    is_up: bool = False
    """The earliest, the least, or the one with the least time left comes first."""


class ChatList(NamedTuple):
    """A page of records, and the cursor of the next one."""

    rows: list[RecordRow]
    next: str | None


async def list_page(
    parts: Dependencies, wanted: ChatFilter, order: ListOrder, limit: int, after: str | None
) -> ChatList:
    """Give the page after a cursor. Raises ProblemError."""
    if order.by == "left":
        return await _by_left(parts, wanted, order, limit, after)
    if order.by != "started":
        return await _by_value(parts, wanted, order, limit, after)
    if wanted.search:
        return await _by_search(parts, wanted, limit, after)
    wanted = wanted._replace(oldest_first=order.is_up)
    place = unpack_place(after) if after else None
    rows = await parts.postgres_reader.ask(lambda c: chats_page(c, wanted, limit + 1, place))
    page, last = page_and_next(rows, limit)
    return ChatList(page, pack_cursor(last.started_at_ms, last.chat_id) if last else None)


async def _by_search(
    parts: Dependencies, wanted: ChatFilter, limit: int, after: str | None
) -> ChatList:
    place = unpack_search(after) if after else None
    found = await parts.postgres_reader.ask(lambda c: search_page(c, wanted, limit, place))
    following = pack_cursor(found.next.stage, *found.next.at) if found.next else None
    return ChatList(found.rows, following)


async def _by_value(
    parts: Dependencies, wanted: ChatFilter, order: ListOrder, limit: int, after: str | None
) -> ChatList:
    """By cost, time or rate, all pages as of the moment of the first one."""
    now_ms, place = parts.clock.now_ms(), None
    if after:
        now_ms, value, name = unpack_sorted(after, order.by)
        place = SortedPosition(value, name)
    assert order.by in ("cost", "active_ms", "rate")
    sorting = Sorting(order.by, now_ms, order.is_up)
    rows = await parts.postgres_reader.ask(
        lambda c: sorted_page(c, wanted, sorting, limit + 1, place)
    )
    page, last = page_and_next(rows, limit)
    records = [row.record for row in page]
    if last is None:
        return ChatList(records, None)
    return ChatList(records, pack_cursor(order.by, now_ms, last.value, last.record.chat_id))


class _Left(msgspec.Struct):
    """Until when an account lasts, out of its wallet."""

    zero_at: int | None = None


_left_of: Final = msgspec.json.Decoder(_Left).decode


async def _by_left(
    parts: Dependencies, wanted: ChatFilter, order: ListOrder, limit: int, after: str | None
) -> ChatList:
    """Running chats by the end of their account, which only Redis knows."""
    place = unpack_sorted(after, order.by)[1:] if after else None
    chats = await parts.postgres_reader.ask(lambda c: running_page(c, wanted, RUNNING_MAX + 1))
    if len(chats) > RUNNING_MAX:
        why = f"more than {RUNNING_MAX} chats run; name a user, an advisor, or from and to"
        raise invalid("sort", why)
    zero_at = await _zero_at(parts, sorted({user for _, user in chats}))
    places = sorted(((zero_at[user], chat) for chat, user in chats), reverse=not order.is_up)
    if place is not None:
        places = [one for one in places if (one > place if order.is_up else one < place)]
    page, last = page_and_next(places, limit)
    records = await parts.postgres_reader.ask(_records_of([chat for _, chat in page]))
    rows = [records[chat] for _, chat in page if chat in records]
    return ChatList(rows, pack_cursor(order.by, 0, *last) if last else None)


def _records_of(chat_ids: list[str]) -> Any:
    def question(connection: Connection) -> dict[str, RecordRow]:
        return fetch_records(connection, chat_ids)

    return question


async def _zero_at(parts: Dependencies, users: list[str]) -> dict[str, int]:
    """Until when each account lasts, in milliseconds. Raises ProblemError: Redis is away."""
    found: dict[str, int] = {}
    for first in range(0, len(users), _WALLETS_AT_ONCE):
        some = users[first : first + _WALLETS_AT_ONCE]
        wallets = await parts.redis_reader.read(
            *(parts.keys.of_user(user).wallet(user) for user in some)
        )
        for user, raw in zip(some, wallets, strict=True):
            zero_at = _left_of(raw).zero_at if raw else None
            found[user] = _NEVER if zero_at is None else zero_at
    return found
