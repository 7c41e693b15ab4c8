"""What the gateway makes of an answer for HEAD and If-None-Match, whatever server it runs in."""

import asyncio
from typing import Any, Final, NamedTuple

import pytest
from starlette.responses import Response, StreamingResponse
from starlette.types import ASGIApp, Message, Scope

from daemon.gateway.conditional import Conditional

JSON: Final = "application/json"
DOCUMENT: Final = b'{"now":1,"status":"running"}'


class Answered(NamedTuple):
    """What was sent."""

    status: int
    headers: dict[str, str]
    body: bytes


def _ask(app: ASGIApp, method: str = "GET", path: str = "/", **headers: str) -> Answered:
    sent: list[Message] = []

    async def receive() -> Message:
        await asyncio.Event().wait()  # whoever asks stays
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope: Scope = {"type": "http", "method": method, "path": path, "headers": named}
    asyncio.run(Conditional(app)(scope, receive, send))
    assert scope["method"] == method  # for whoever counts requests
    (start, *bodies) = sent
    told = {name.decode(): value.decode() for name, value in start["headers"]}
    return Answered(start["status"], told, b"".join(one.get("body", b"") for one in bodies))


def _etag(body: bytes) -> str:
    return _ask(Response(body, media_type=JSON)).headers["etag"]


def test_only_now_is_no_change() -> None:
    assert _etag(DOCUMENT) == _etag(DOCUMENT.replace(b"1", b"987654321"))
    assert _etag(DOCUMENT) != _etag(DOCUMENT.replace(b"running", b"paused"))
    assert _etag(b'{"a":1}') != _etag(b'{"a":2}')


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("asked", ["{}", "W/{}", '"x", W/{} , "y"', " * ", "*"])
def test_who_has_it_gets_neither_body_nor_headers_of_one(method: str, asked: str) -> None:
    """By the weak comparison: a name is the same with and without its W/."""
    name = _etag(DOCUMENT).removeprefix("W/")
    answer = Response(DOCUMENT, media_type=JSON)
    told = _ask(answer, method, if_none_match=asked.format(name))
    assert (told.status, told.body) == (304, b"")
    assert told.headers == {"etag": f"W/{name}"}


@pytest.mark.parametrize("asked", ['"x"', "x", "", 'W/"x", "y"'])
def test_who_has_another_one_gets_it_all(asked: str) -> None:
    told = _ask(Response(DOCUMENT, media_type=JSON), if_none_match=asked)
    assert (told.status, told.body) == (200, DOCUMENT)


ANSWERS: Final[dict[str, Any]] = {
    "a document": lambda: Response(DOCUMENT, media_type=JSON),
    "a problem": lambda: Response(b"{}", 403, media_type="application/problem+json"),
    "not ready": lambda: Response(b"{}", 503, media_type=JSON),
    "a page": lambda: Response(b"<p>", media_type="text/html"),
    "a document in parts": lambda: StreamingResponse(iter([b"{", b"}"]), media_type=JSON),
}


@pytest.mark.parametrize("what", ANSWERS)
def test_head_has_the_headers_of_get_and_no_body(what: str) -> None:
    head, got = _ask(ANSWERS[what](), "HEAD"), _ask(ANSWERS[what]())
    assert head.body == b""
    assert got.body
    assert (head.status, head.headers) == (got.status, got.headers)
    assert ("etag" in got.headers) == (what == "a document")


@pytest.mark.parametrize("path", ["/v1/chats/c/stream", "/v1/events"])
def test_head_of_what_has_no_end_is_left_to_the_routes(path: str) -> None:
    """They have none for it, so it is not allowed."""
    asked: list[str] = []

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        asked.append(scope["method"])
        await Response(b"", 405)(scope, receive, send)

    assert _ask(app, "HEAD", path).status == 405
    assert asked == ["HEAD"]


def test_what_is_posted_is_passed_on() -> None:
    told = _ask(Response(DOCUMENT, media_type=JSON), "POST", if_none_match="*")
    assert (told.status, told.body) == (200, DOCUMENT)
    assert "etag" not in told.headers
