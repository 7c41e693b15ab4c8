"""Streams of several chats, of whatever users, on one connection."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from daemon.gateway.command_schemas import IDENTIFIER
from daemon.gateway.dependencies import AllParts, Reader, identifier
from daemon.gateway.errors import forbidden
from daemon.gateway.routes.chats import LastEventId
from daemon.gateway.schemas.responses import STREAM
from daemon.gateway.streams.stream import CHATS_MAX

router = APIRouter(prefix="/v1", tags=["chats"])

Named = Annotated[str, Query(json_schema_extra=IDENTIFIER)]


@router.get("/stream", response_class=Response, responses=STREAM)
async def stream_chats(
    chat_id: Annotated[
        list[Named],
        Query(min_length=1, max_length=CHATS_MAX, description="The chats; repeat it for each"),
    ],
    caller: Reader,
    parts: AllParts,
    last_event_id: LastEventId = "",
) -> Response:
    """Follow chats, of whatever users: first a snapshot, then what happens to them."""
    names = {identifier("chat_id", each) for each in chat_id}
    return parts.streams.of_chats(names, caller, last_event_id)


@router.get("/advisors/{advisor_id:id}/stream", response_class=Response, responses=STREAM)
async def stream_advisor(
    advisor_id: Annotated[str, Path(description="The advisor", json_schema_extra=IDENTIFIER)],
    caller: Reader,
    parts: AllParts,
    last_event_id: LastEventId = "",
) -> Response:
    """Follow an advisor's chats: first the open ones, then what happens to them and to new ones."""
    if not caller.may_read_advisor(advisor_id):
        raise forbidden("this token reads its own stream only")
    name = identifier("advisor_id", advisor_id)
    return parts.streams.of_advisor(name, caller, last_event_id)
