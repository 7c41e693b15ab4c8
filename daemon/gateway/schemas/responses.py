"""What a route may answer besides its result: problems, and what is no JSON."""

from typing import Annotated, Any

from pydantic import BaseModel

from daemon.gateway.schemas.base import Shape, about
from daemon.gateway.schemas.chats import Chat
from daemon.gateway.schemas.wallets import WalletSnapshot


class InvalidField(Shape):
    """A part of a request that is wrong."""

    field: Annotated[str, about("Where it is: a parameter, or a field of the body")]
    message: Annotated[str, about("What is wrong with it")]


class Problem(BaseModel):
    """Why there is no answer (RFC 9457). Of a refused command it tells the reply, too."""

    type: Annotated[str, about("`about:blank`: `title` says it")]
    title: Annotated[str, about("The status in words")]
    status: Annotated[int, about("The status of the answer")]
    detail: Annotated[str, about("What is wrong and what to do, for a person")]
    code: Annotated[str, about("What is wrong, for programs; of a command, its outcome")]
    request_id: Annotated[str, about("Names the request in logs, as `X-Request-Id`")]
    errors: Annotated[list[InvalidField], about("Of 422: each part that is wrong")] = []
    id: Annotated[str | None, about("Of a command: its id")] = None
    outcome: Annotated[str | None, about("Of a command that was refused: why")] = None
    entry: Annotated[str | None, about("Its place in the queue, if it came so far")] = None
    replayed: Annotated[bool | None, about("Whether its id was used before")] = None
    snapshot: Annotated[
        Chat | WalletSnapshot | None, about("The chat or the wallet that refused it")
    ] = None


_WHY = {
    401: "No token, or one that does not count",
    402: "The account can't pay for the next millisecond",
    403: "The token's role may not do this",
    404: "No start has been accepted for this chat",
    410: "Events after this place may be gone; read snapshots, then go on after `0`",
    409: "The chat's state or the id forbids it",
    413: "The body is too large",
    421: "The user's account is in another partition of the queue",
    422: "Something in the request is wrong; errors names it",
    429: "Too many requests, or too many streams",
    500: "The entry made the daemon fail",
    503: "What is needed for the answer is away",
    504: "No reply came in time",
}


def problems(*codes: int) -> dict[int | str, dict[str, Any]]:
    """What a route may answer instead."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {code: {"description": _WHY[code], "content": content} for code in codes}


READ = problems(401, 403, 422, 429, 503)

_TEXT = {"type": "string"}
EVENTS: dict[int | str, dict[str, Any]] = {
    **READ,
    **problems(410),
    200: {
        "description": "Events; as a stream, one message each, with its `id`, and at last `end`",
        "content": {"text/event-stream": {}},
    },
}
USAGE: dict[int | str, dict[str, Any]] = {
    **READ,
    200: {
        "description": "The usage; as CSV with a `Link` to the next page where there is one",
        "content": {"text/csv": {"schema": _TEXT}},
    },
}
# What a message of a stream holds, docs/asyncapi.json describes: OpenAPI can from 3.2 on only.
STREAM: dict[int | str, dict[str, Any]] = {
    **READ,
    200: {
        "description": "Server-sent events: `snapshot`, then one for each event, and "
        "`chat.snapshot` for a chat whose free time another one has moved; at last `end`",
        "content": {"text/event-stream": {}},
    },
}
