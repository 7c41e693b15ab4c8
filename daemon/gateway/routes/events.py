"""``/v1/events``: everything that happens, for backends without a Redis client."""

from typing import Annotated, Final

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response

from daemon.gateway.dependencies import AllParts, Follower, identifier
from daemon.gateway.errors import invalid
from daemon.gateway.routes.chats import UserFilter
from daemon.gateway.schemas.events import EventPage
from daemon.gateway.schemas.responses import EVENTS
from daemon.gateway.views import pack
from meterd.rules.partitions import PARTITIONS_MAX

router = APIRouter(prefix="/v1/events", tags=["events"])

WAIT_MS_MAX: Final = 30_000
_EVENT_STREAM: Final = "text/event-stream"
_ID: Final = r"(\$|0|[0-9]{1,20}-[0-9]{1,20})"
_PLACE: Final = rf"{_ID}(,{_ID}){{0,{PARTITIONS_MAX - 1}}}"
"""One ID, or one for each partition."""


@router.get("", response_model=EventPage, responses=EVENTS)
async def read_events(  # noqa: PLR0913, PLR0917 - the contract's parameters
    request: Request,
    caller: Follower,
    parts: AllParts,
    after: Annotated[
        str | None,
        Query(
            pattern=f"^{_PLACE}$",
            description="The `id` or `next` read last; `0`: all there is; `$`: from now on",
        ),
    ] = None,
    user_id: UserFilter = None,
    limit: Annotated[int, Query(ge=1, le=500, description="How many at most")] = 100,
    wait_ms: Annotated[
        int, Query(ge=0, le=WAIT_MS_MAX, description="How long to wait for the first one")
    ] = 0,
    last_event_id: Annotated[
        str, Header(pattern=f"^({_PLACE})?$", description="Of a stream, in place of `after`")
    ] = "",
) -> Response:
    """Give what happened after a place, in order, each event once; by page or as a stream.

    With `Accept: text/event-stream` it goes on as server-sent events, and comes back by
    `Last-Event-ID`.
    """
    if user_id is not None:
        identifier("user_id", user_id)
    place = last_event_id or after or "$"
    places, partitions = place.count(",") + 1, len(parts.keys)
    if places not in {1, partitions}:
        why = f"it names {places} places, and there are {partitions} partitions; send an id or next"
        raise invalid("after", why)
    if _EVENT_STREAM in request.headers.get("accept", ""):
        return parts.feed.stream(caller, place, user_id)
    page = await parts.feed.page(place, user_id, limit, wait_ms / 1000)
    document = {"now": parts.clock.now_ms(), "events": page.events, "next": page.next}
    return Response(pack(document), media_type="application/json")
