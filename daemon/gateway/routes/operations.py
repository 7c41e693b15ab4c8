"""``/v1/operations``: what is done by hand, and what was."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Request
from starlette.responses import Response

from daemon.gateway import operation_schemas
from daemon.gateway.command_schemas import STORABLE
from daemon.gateway.cursors import pack_cursor, page_and_next, unpack_place
from daemon.gateway.dependencies import Admin, AllParts, Operator
from daemon.gateway.errors import invalid
from daemon.gateway.operations import act, operation_json, past_json
from daemon.gateway.routes.chats import After, Limit
from daemon.gateway.schemas.responses import READ, problems
from daemon.gateway.sending import refuse_doubles
from daemon.gateway.views import pack
from persistence.postgres.convert import check_texts
from persistence.postgres.operations import OperationFilter, operations_page

router = APIRouter(prefix="/v1/operations", tags=["operators"])

_JSON = "application/json"
_NAME_MAX = 128
Wanted = Annotated[operation_schemas.Operation, Body(discriminator="operation")]
_BODY = {"requestBody": {"description": "What to do, to what, and why"}}


@router.get("", response_model=operation_schemas.OperationPage, responses=READ)
async def list_operations(
    caller: Operator,
    parts: AllParts,
    limit: Limit = 50,
    after: After = None,
    subject: Annotated[
        str | None,
        Query(
            max_length=_NAME_MAX,
            description="Only what was done to this chat, user or entry",
            json_schema_extra=STORABLE,
        ),
    ] = None,
    done_by: Annotated[
        str | None,
        Query(
            max_length=_NAME_MAX,
            description="Only what this person did",
            json_schema_extra=STORABLE,
        ),
    ] = None,
) -> Response:
    """List what was done by hand, the newest first, each with what became of it."""
    wanted = OperationFilter(subject, done_by)
    for field, value in wanted._asdict().items():
        _check_text(field, value)
    place = unpack_place(after) if after else None
    rows = await parts.postgres_reader.ask(lambda c: operations_page(c, wanted, limit + 1, place))
    page, last = page_and_next(rows, limit)
    more = (last.operation.at_ms, last.operation.operation_id) if last else None
    document = {
        "now": parts.clock.now_ms(),
        "operations": [past_json(past) for past in page],
        "next": pack_cursor(*more) if more else None,
    }
    return Response(pack(document), media_type=_JSON)


@router.post(
    "",
    response_model=operation_schemas.OperationAnswer,
    responses=problems(401, 402, 403, 404, 409, 413, 421, 422, 429, 500, 503, 504),
    openapi_extra=_BODY,
)
async def post_operation(
    request: Request, caller: Admin, parts: AllParts, wanted: Wanted
) -> Response:
    """End a chat, give credits back, correct or top up an account, resolve a dead letter.

    It is recorded before it is done: who, why, what, and to what. Sent again with the same `id`
    and content it is done once.
    """
    refuse_doubles(json.loads(await request.body(), object_pairs_hook=list))
    done = await act(parts, caller, wanted)
    document: dict[str, Any] = {
        "now": parts.clock.now_ms(),
        "operation": operation_json(done.operation),
        "reply": done.reply,
        "entry": done.entry,
    }
    return Response(pack(document), media_type=_JSON)


def _check_text(field: str, value: str | None) -> None:
    try:
        check_texts((value,))
    except ValueError as error:
        raise invalid(field, str(error)) from None
