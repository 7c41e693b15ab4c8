"""``POST /v1/commands``: for backends without a Redis client."""

import json
import re
import time
from collections.abc import Iterable
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Header, Request
from starlette.responses import Response

from daemon.gateway.command_schemas import COMMANDS_MAX, IDENTIFIER, known_fields, request_body
from daemon.gateway.container import Dependencies
from daemon.gateway.dependencies import AllParts, Backend
from daemon.gateway.errors import ProblemError, invalid, problem_document, request_id_of
from daemon.gateway.schemas.replies import Replies, Reply, Sent, SentAll
from daemon.gateway.schemas.responses import problems
from daemon.gateway.sending import refuse_doubles, send
from daemon.gateway.views import pack
from meterd.rules.field_formats import TIME_FIELDS

router = APIRouter(prefix="/v1/commands", tags=["commands"])

_DIGITS: Final = re.compile(r"[0-9]{1,20}")
_SEND_S_MIN: Final = 0.01
"""With less time left no command is sent any more: its reply could not come within it."""
_RESPOND_ASYNC: Final = "respond-async"
_BODY: Final = {
    "requestBody": {
        "required": True,
        "description": "A command, or an array of them",
        "content": {"application/json": {"schema": request_body()}},
    }
}


@router.post(
    "",
    response_model=Reply | Replies,
    responses={
        202: {"model": Sent | SentAll, "description": "In the queue"},
        **problems(401, 402, 403, 404, 409, 413, 421, 422, 429, 500, 503, 504),
    },
    openapi_extra=_BODY,
)
async def post_command(
    request: Request,
    caller: Backend,
    parts: AllParts,
    idempotency_key: Annotated[
        str | None,
        Header(description="In place of `id`, of one command", json_schema_extra=IDENTIFIER),
    ] = None,
    prefer: Annotated[
        str, Header(max_length=200, description="`respond-async`: do not wait for the reply")
    ] = "",
) -> Response:
    """Send one command, or an array of them in order, and give the replies.

    Each command of an array has its `id`, so that the array can be sent again, and a result of its
    own: one that is refused does not keep the others back.
    """
    sent, pairs = _decoded(await request.body())
    is_async = _RESPOND_ASYNC in _preferences(prefer)
    if isinstance(sent, list):
        _check_array(sent, idempotency_key)
        results = await _send_all(request, zip(sent, pairs, strict=True), not is_async)
        document: Any = {"results": results}
    else:
        fields = _fields(sent, pairs, idempotency_key)
        document = await send(parts, fields, not is_async, _timeout_s(parts))
    return Response(pack(document), 202 if is_async else 200, media_type="application/json")


def _timeout_s(parts: Dependencies) -> float:
    return parts.settings.http.reply_timeout_ms / 1000


def _decoded(raw: bytes) -> tuple[dict[str, Any] | list[Any], list[Any]]:
    """The body, and the same with every object as its pairs. Raises ProblemError."""
    try:
        sent = msgspec.json.decode(raw, type=dict[str, Any] | list[Any])
        pairs: list[Any] = json.loads(raw, object_pairs_hook=list)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise invalid("body", f"send one JSON object with the command's fields ({error})") from None
    return sent, pairs


def _check_array(commands: list[Any], idempotency_key: str | None) -> None:
    """Refuse an array that could not be sent again as it is."""
    if not 1 <= len(commands) <= COMMANDS_MAX:
        raise invalid("body", f"send 1 to {COMMANDS_MAX} commands; these are {len(commands)}")
    if idempotency_key is not None:
        raise invalid("Idempotency-Key", "leave it out; each command of an array has its id")
    for number, command in enumerate(commands):
        if not isinstance(command, dict):
            raise invalid(f"body.{number}", "send a JSON object with the command's fields")
        if not isinstance(command.get("id"), str):
            raise invalid(f"body.{number}.id", "send one, so that the array can be sent again")


async def _send_all(
    request: Request, commands: Iterable[tuple[dict[str, Any], list[Any]]], wait: bool
) -> list[dict[str, Any]]:
    """Send one after the other, so that they take effect in this order; all within one limit."""
    parts: Dependencies = request.app.state.parts
    until = time.monotonic() + _timeout_s(parts)
    results: list[dict[str, Any]] = []
    for sent, pairs in commands:
        left_s = until - time.monotonic()
        try:
            if left_s <= _SEND_S_MIN:
                raise _not_sent(str(sent["id"]))
            result = await send(parts, _fields(sent, pairs, None), wait, left_s)
            results.append({"status": 200 if wait else 202, **result})
        except ProblemError as problem:
            results.append(problem_document(problem, request_id_of(request)))
    return results


def _not_sent(id_: str) -> ProblemError:
    detail = "the time for this request was over; send it again with the same id"
    return ProblemError(503, "not_sent", detail, id=id_)


def _given(sent: dict[str, Any]) -> dict[str, Any]:
    """Without those that are null, as if they were left out; only known ones can be.

    Raises ProblemError.
    """
    known = known_fields(str(sent.get("type")))
    for name, value in sent.items():
        # A string gets the daemon's own words for it.
        if known and name not in known and not isinstance(value, str):
            raise invalid(name, "there is no such field; leave it out")
    return {name: value for name, value in sent.items() if value is not None}


def _number(name: str, value: Any) -> Any:
    """A time may come as digits, as it stands in the queue."""
    is_digits = isinstance(value, str) and _DIGITS.fullmatch(value)
    return int(value) if name in TIME_FIELDS and is_digits else value


def _preferences(prefer: str) -> list[str]:
    """The names of what is preferred (RFC 7240), without values and parameters."""
    names = (part.partition(";")[0].partition("=")[0] for part in prefer.split(","))
    return [name.strip().lower() for name in names]


def _fields(
    sent: dict[str, Any], pairs: Iterable[tuple[str, Any]], idempotency_key: str | None
) -> dict[str, Any]:
    """The command as it stands in the body. Raises ProblemError."""
    refuse_doubles(pairs)
    fields = {name: _number(name, value) for name, value in _given(sent).items()}
    if idempotency_key is not None and fields.setdefault("id", idempotency_key) != idempotency_key:
        raise invalid("id", "differs from Idempotency-Key; send one of them")
    if "reply_to" in fields:
        raise invalid("reply_to", "leave it out; the reply is the answer to this request")
    if fields.get("type") == "settle":
        raise invalid("type", "settle is the daemon's own")
    return fields
