"""``/v1/chats``."""

from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Header, Path, Query
from starlette.responses import Response

from actors.chat.rows import chat_of_record
from daemon.gateway.authorization import ADVISOR, USER, Caller
from daemon.gateway.chat_lists import ListOrder, OrderName, SortName, list_page
from daemon.gateway.command_schemas import IDENTIFIER, STORABLE
from daemon.gateway.container import Dependencies
from daemon.gateway.cursors import pack_cursor, unpack_number
from daemon.gateway.dependencies import AllParts, Reader, identifier
from daemon.gateway.direct_route import DirectRoute
from daemon.gateway.errors import ProblemError, forbidden, invalid
from daemon.gateway.history import NO_LINES, HistoryReader
from daemon.gateway.schemas.chats import ChatAnswer, ChatPage, HistoryPage
from daemon.gateway.schemas.responses import READ, STREAM
from daemon.gateway.views import pack, record_snapshot
from meterd.rules.model import PAUSED, RUNNING, SUSPENDED
from persistence.postgres.convert import MOMENT_MS_MAX, check_texts
from persistence.postgres.pages import ChatFilter, Period
from persistence.postgres.rows import RecordRow

router = APIRouter(prefix="/v1/chats", tags=["chats"])
direct_router = APIRouter(prefix="/v1/chats", tags=["chats"], route_class=DirectRoute)

_OPEN = (RUNNING, PAUSED, SUSPENDED)
_SEARCH_MAX = 128
_JSON = "application/json"

Limit = Annotated[int, Query(ge=1, le=200, description="How many at most")]
After = Annotated[str | None, Query(max_length=1_000, description="`next` of the page before")]
UserFilter = Annotated[
    str | None, Query(description="Only what is about this user", json_schema_extra=IDENTIFIER)
]
AdvisorFilter = Annotated[
    str | None, Query(description="Only what is about this advisor", json_schema_extra=IDENTIFIER)
]
ChatToRead = Annotated[str, Path(description="The chat")]
# Of every stream.
LastEventId = Annotated[
    str, Header(max_length=100, description="The `id` read last: go on after it")
]
FromMs = Annotated[
    int | None,
    Query(alias="from", ge=0, le=MOMENT_MS_MAX, description="First millisecond of the period"),
]
ToMs = Annotated[
    int | None,
    Query(alias="to", ge=0, le=MOMENT_MS_MAX, description="First millisecond after the period"),
]
Status = Literal["running", "paused", "suspended", "ended", "open"]


@direct_router.get("/{chat_id:id}", response_model=ChatAnswer, responses=READ)
async def read_chat(chat_id: ChatToRead, caller: Reader, parts: AllParts) -> Response:
    """Give the chat with its wallet; a chat that never started is an answer too."""
    return Response(await parts.queries.chat(chat_id, caller), media_type=_JSON)


@router.get("", response_model=ChatPage, responses=READ)
async def list_chats(  # noqa: PLR0913, PLR0917 - the contract's parameters
    caller: Reader,
    parts: AllParts,
    user_id: UserFilter = None,
    advisor_id: AdvisorFilter = None,
    status: Annotated[
        Status | None, Query(description="Only chats of this status; `open`: all but ended ones")
    ] = None,
    search: Annotated[
        str,
        Query(
            max_length=_SEARCH_MAX,
            description="A part of a chat's, user's or advisor's id",
            json_schema_extra=STORABLE,
        ),
    ] = "",
    sort: Annotated[
        SortName,
        Query(description="By when they started, what they cost, how long they were active"),
    ] = "started",
    order: Annotated[
        OrderName | None, Query(description="`desc` if left out; of `left`, `asc`")
    ] = None,
    from_ms: FromMs = None,
    to_ms: ToMs = None,
    limit: Limit = 50,
    after: After = None,
) -> Response:
    """List chats, the newest first: of a user, of an advisor, of a status, or of a name.

    `from` and `to` are about when a chat started. Operators may search for any chat, what is called
    exactly so first, and have other orders: by `cost`, `active_ms` (running ones as of now) or
    `rate`, or running ones by the time that their account has `left`. A page may be short, or even
    empty, and yet have a `next`.
    """
    if sort == "left" and status in (None, "open"):
        status = "running"
    wanted = _filter(caller, user_id, advisor_id, status, search)
    wanted = wanted._replace(started=Period(from_ms, to_ms))
    page = await list_page(parts, wanted, _order(caller, wanted, sort, order), limit, after)
    document = {
        "now": parts.clock.now_ms(),
        "chats": await _as_they_are(parts, page.rows, wanted),
        "next": page.next,
    }
    return Response(pack(document), media_type=_JSON)


@router.get("/{chat_id:id}/history", response_model=HistoryPage, responses=READ)
async def read_history(
    chat_id: ChatToRead, caller: Reader, parts: AllParts, limit: Limit = 200, after: After = None
) -> Response:
    """Tell the chat's history: every change, when, why, and what it had cost by then."""
    begin = unpack_number(after) if after else 0
    seen = await parts.queries.view(chat_id, caller)
    history = HistoryReader(parts.postgres_reader)
    told = await history.lines(chat_id, seen, begin, limit + 1) if seen else NO_LINES
    more = len(told.lines) > limit
    document = {
        "now": parts.clock.now_ms(),
        "chat_id": chat_id,
        "archived_until": told.archived_until,
        "history": [line._asdict() for line in told.lines[:limit]],
        "next": pack_cursor(begin + limit) if more else None,
    }
    return Response(pack(document), media_type=_JSON)


@router.get("/{chat_id:id}/stream", response_class=Response, responses=STREAM)
async def stream_chat(
    chat_id: Annotated[str, Path(description="The chat", json_schema_extra=IDENTIFIER)],
    caller: Reader,
    parts: AllParts,
    last_event_id: LastEventId = "",
) -> Response:
    """Follow the chat: first a snapshot, then what happens, as server-sent events."""
    return parts.streams.of_chat(identifier("chat_id", chat_id), caller, last_event_id)


def _filter(
    caller: Caller,
    user_id: str | None,
    advisor_id: str | None,
    status: Status | None,
    search: str,
) -> ChatFilter:
    """What the caller asks for, narrowed to what it may see."""
    for field, value in (("user_id", user_id), ("advisor_id", advisor_id)):
        if value is not None:
            identifier(field, value)
    statuses = _OPEN if status == "open" else (status,) if status else ()
    if not caller.may_operate():
        user_id, advisor_id = narrowed(caller, user_id, advisor_id)
    if search:
        _check_search(caller, search)
    if user_id is None and advisor_id is None and not statuses and not search:
        raise invalid("status", "name one of user_id, advisor_id, status and search")
    return ChatFilter(user_id, advisor_id, statuses, search)


def _order(
    caller: Caller, wanted: ChatFilter, sort: SortName, order: OrderName | None
) -> ListOrder:
    """The order that the caller asks for. Raises ProblemError: it may not, or there is none."""
    wished = ListOrder(sort, order == "asc" if order else sort == "left")
    if wished == ListOrder():
        return wished
    if not caller.may_operate():
        raise forbidden("sort, order: this wants role ops or admin")
    if sort == "left" and wanted.statuses != (RUNNING,):
        raise invalid("sort", "left is of running chats: leave status out")
    if sort == "started" and wanted.search:
        raise invalid("order", "what is called exactly so comes first: leave it out")
    return wished


def narrowed(
    caller: Caller, user_id: str | None, advisor_id: str | None
) -> tuple[str | None, str | None]:
    """A user's own chats, or an advisor's own; of a caller who is both, as it asks."""
    as_user = USER in caller.roles and user_id in (None, caller.sub)
    as_advisor = ADVISOR in caller.roles and advisor_id in (None, caller.sub)
    if as_advisor and (not as_user or advisor_id is not None):
        return user_id, caller.sub
    if as_user:
        return caller.sub, advisor_id
    raise forbidden("user_id, advisor_id: this token lists its own chats only")


def _check_search(caller: Caller, search: str) -> None:
    if not caller.may_operate():
        raise forbidden("search: this wants role ops or admin")
    try:
        check_texts((search,))
    except ValueError as error:
        raise invalid("search", str(error)) from None


async def _as_they_are(parts: Dependencies, page: list[RecordRow], wanted: ChatFilter) -> list[Any]:
    """The page's chats as Redis has them now; as recorded where it does not, or is away."""
    found: list[bytes | None] = [None] * len(page)
    try:
        if page:
            found = await parts.redis_reader.read(
                *(parts.keys.of_user(row.user_id).chat(row.chat_id) for row in page)
            )
    except ProblemError:
        pass  # the records say as of when they are
    chats = [
        msgspec.json.decode(raw) if raw else record_snapshot(chat_of_record(row))
        for row, raw in zip(page, found, strict=True)
    ]
    return [chat for chat in chats if not wanted.statuses or chat["status"] in wanted.statuses]
