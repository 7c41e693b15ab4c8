"""A direct route answers as an ordinary one does, whoever asks and whatever for."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Annotated
from urllib.parse import quote

import httpx
import pytest
from fastapi import APIRouter, Body, FastAPI, Header
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.responses import JSONResponse

from daemon.gateway import errors
from daemon.gateway.authorization import ROLES
from daemon.gateway.dependencies import AllParts, Reader
from daemon.gateway.direct_route import DirectRoute
from daemon.gateway.paths import SlashesInSegments
from daemon.gateway.rate_limit import Buckets
from daemon.gateway.tokens import SecretKey, Tokens, mint
from tests.gateway.conftest import AUDIENCE, SECRET


async def _read(item_id: str, caller: Reader, parts: AllParts, limit: int = 50) -> JSONResponse:
    """Return what was asked, by whom, and that the parts are there."""
    return JSONResponse([item_id, caller.sub, sorted(caller.roles), parts.settings, limit])


def _app() -> FastAPI:
    app = FastAPI()
    for prefix, route_class in (("/direct", DirectRoute), ("/plain", None)):
        router = APIRouter(prefix=prefix)
        router.add_api_route("/{item_id:id}", _read, route_class_override=route_class)
        app.include_router(router)
    errors.install(app)
    app.add_middleware(SlashesInSegments)
    app.state.parts = SimpleNamespace(
        tokens=Tokens(SecretKey(SECRET), AUDIENCE), buckets=Buckets(1000, 100_000), settings="there"
    )
    return app


_APP = _app()


async def _get(paths: list[str], headers: dict[str, str]) -> list[httpx.Response]:
    transport = httpx.ASGITransport(_APP)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        return [await client.get(path, headers=headers) for path in paths]


tokens = st.builds(
    lambda sub, roles, ttl_s: mint(SECRET, AUDIENCE, sub, sorted(roles), ttl_s),
    st.sampled_from(["u1", "a/b", "Ü"]),
    st.sets(st.sampled_from(ROLES), min_size=1),
    st.sampled_from([600, -1]),
)
authorizations = st.one_of(
    st.none(),
    st.builds("Bearer {}".format, tokens),
    st.builds("bearer {}".format, tokens),
    st.builds("Basic {}".format, tokens),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20),
)
queries = st.sampled_from(["", "?", "?limit=1", "?limit=x", "?limit=1&limit=2", "?a=1", "?%FF=1"])
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


@given(name=names, query=queries, authorization=authorizations)
@example(name="a/b", query="", authorization=f"Bearer {mint(SECRET, AUDIENCE, 'u', ['ops'], 600)}")
def test_it_answers_as_an_ordinary_route_does(
    name: str, query: str, authorization: str | None
) -> None:
    """Status, document and headers are the same."""
    headers = {"Authorization": authorization} if authorization is not None else {}
    path = f"/{quote(name, safe='')}{query}"
    direct, plain = asyncio.run(_get([f"/direct{path}", f"/plain{path}"], headers))
    assert direct.status_code == plain.status_code
    assert direct.text.replace("/direct/", "/plain/") == plain.text
    assert direct.headers == plain.headers


def test_the_examples_reach_the_function() -> None:
    """The comparison is not one of refusals alone."""
    token = mint(SECRET, AUDIENCE, "u", ["user"], 600)
    headers = {"Authorization": f"Bearer {token}"}
    (answer,) = asyncio.run(_get(["/direct/a%2Fb"], headers))
    assert answer.json() == ["a/b", "u", ["user"], "there", 50]


async def _with_query(item_id: str, limit: int) -> None: ...
async def _with_header(item_id: str, x: Annotated[str, Header()] = "") -> None: ...
async def _with_body(item_id: str, body: Annotated[str, Body()]) -> None: ...


@pytest.mark.parametrize("read", [_with_query, _with_header, _with_body])
def test_a_function_that_wants_more_is_refused(read: Callable[..., object]) -> None:
    """What a direct route would not pass on is an error at the start, not of each request."""
    router = APIRouter(route_class=DirectRoute)
    with pytest.raises(ValueError, match="a direct route"):
        router.post("/{item_id}")(read)
