"""``/v1/status`` and ``/v1/dead``: what concerns the whole service."""

import json
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from daemon.gateway.cursors import pack_cursor, page_and_next, unpack_letter
from daemon.gateway.dead_letter_lists import letter_name, list_letters
from daemon.gateway.dependencies import AllParts, Operator
from daemon.gateway.routes.chats import After, Limit
from daemon.gateway.schemas.dead_letters import DeadPage
from daemon.gateway.schemas.responses import READ
from daemon.gateway.schemas.status import Status, StatusHistory
from daemon.gateway.service import Service
from daemon.gateway.views import pack

router = APIRouter(prefix="/v1", tags=["operators"])

_JSON: Final = "application/json"


def service_of(request: Request) -> Service:
    """The view of the whole service."""
    service: Service = request.app.state.service
    return service


@router.get("/status", response_model=Status, responses=READ)
async def read_status(request: Request, caller: Operator) -> Response:
    """Say what runs where and what waits, as `meterd status --json`, without addresses."""
    return Response(pack(await service_of(request).status()), media_type=_JSON)


@router.get("/status/history", response_model=StatusHistory, responses=READ)
async def read_status_history(request: Request, caller: Operator) -> Response:
    """Give figures of the last hour, one each for ten seconds, as far as a daemon ran."""
    return Response(pack(await service_of(request).history()), media_type=_JSON)


@router.get("/dead", response_model=DeadPage, responses=READ)
async def list_dead(
    caller: Operator,
    parts: AllParts,
    limit: Limit = 50,
    after: After = None,
) -> Response:
    """List the entries that were set aside, the newest first."""
    partitions = len(parts.keys)
    place = unpack_letter(after, partitions) if after else None
    found = await list_letters(parts.clients, parts.keys, place, limit + 1)
    page, more = page_and_next(found, limit)
    names = [letter_name(number, letter.letter, partitions) for number, letter in page]
    letters = [
        {**one.letter._asdict(), "letter": name} for one, name in zip(page, names, strict=True)
    ]
    document = {
        "now": parts.clock.now_ms(),
        "letters": letters,
        "next": pack_cursor(names[-1]) if more else None,
    }
    return Response(json.dumps(document, ensure_ascii=False), media_type=_JSON)
