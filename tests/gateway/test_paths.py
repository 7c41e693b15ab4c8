"""Identifiers in paths: each is the segment that it was sent as, slashes and all."""

import asyncio
from typing import Any
from urllib.parse import quote, unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from daemon.gateway.paths import SlashesInSegments

IDENTIFIERS = st.from_regex(r"[A-Za-z0-9_.:@/+=-]{1,128}", fullmatch=True)


async def _echo(request: Request) -> Response:
    return JSONResponse(request.path_params)


APP = SlashesInSegments(
    Starlette(
        routes=[
            Route("/v1/chats/{chat_id:id}", _echo),
            Route("/v1/chats/{chat_id:id}/history", _echo),
        ]
    )
)


def _asked(raw_path: str) -> tuple[int, bytes]:
    """Status and body of a GET; ``path`` is decoded as servers decode it."""
    scope = {
        "type": "http", "method": "GET", "path": unquote(raw_path),
        "raw_path": raw_path.encode(), "query_string": b"", "headers": [],
    }  # fmt: skip
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(APP(scope, receive, send))
    return sent[0]["status"], sent[1]["body"]


@pytest.mark.parametrize("tail", ["", "/history"])
@given(IDENTIFIERS)
def test_an_identifier_is_one_segment_whatever_is_in_it(tail: str, identifier: str) -> None:
    status, body = _asked(f"/v1/chats/{quote(identifier, safe='')}{tail}")
    assert (status, body) == (200, JSONResponse({"chat_id": identifier}).body)


@given(st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("%2Ff5/"), min_size=1))
@example("a%2Fb")
@example("%")
def test_no_two_texts_are_the_same_segment(text: str) -> None:
    """Not ``a/b`` and ``a%2Fb`` either: a text comes out as it went in."""
    status, body = _asked(f"/v1/chats/{quote(text, safe='')}")
    assert (status, body) == (200, JSONResponse({"chat_id": text}).body)


@pytest.mark.parametrize("escape", ["%2f", "%2F"])
def test_an_escaped_slash_is_one_in_either_case(escape: str) -> None:
    assert _asked(f"/v1/chats/a{escape}b") == (200, b'{"chat_id":"a/b"}')


@pytest.mark.parametrize("path", ["/v1/chats/a/b", "/v1%2Fchats/a", "/v1/chats%2Fa", "/v1/chats/"])
def test_a_slash_between_segments_is_no_other(path: str) -> None:
    assert _asked(path)[0] == 404
