"""``/v1/stream``: several chats, of whatever users, on one connection."""

from typing import Annotated

from fastapi import APIRouter, Header, Query
from starlette.responses import Response

from daemon.gateway import schemas
from daemon.gateway.command_schemas import IDENTIFIER
from daemon.gateway.dependencies import AllParts, Reader, identifier
from daemon.gateway.streams.stream import CHATS_MAX

router = APIRouter(prefix="/v1/stream", tags=["chats"])

Named = Annotated[str, Query(json_schema_extra=IDENTIFIER)]


@router.get("", response_class=Response, responses=schemas.STREAM)
async def stream_chats(
    chat_id: Annotated[
        list[Named],
        Query(min_length=1, max_length=CHATS_MAX, description="The chats; repeat it for each"),
    ],
    caller: Reader,
    parts: AllParts,
    last_event_id: Annotated[str, Header(max_length=100)] = "",
) -> Response:
    """Follow chats, of whatever users: first a snapshot, then what happens to them."""
    names = {identifier("chat_id", each) for each in chat_id}
    return parts.streams.of_chats(names, caller, last_event_id)
