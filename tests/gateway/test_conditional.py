"""Reads that ask whether anything has changed, and how many more there may be."""

import re

import pytest

from tests.gateway.conftest import Gateway

pytestmark = [pytest.mark.acceptance, pytest.mark.ray]


def _start(gateway: Gateway, name: str) -> str:
    gateway.do("top_up", user_id=name, amount="100")
    gateway.do("start", chat_id=name, user_id=name, advisor_id="v", rate="1")
    return f"/v1/chats/{name}"


def test_nothing_is_sent_twice_to_who_has_it(gateway: Gateway, name: str) -> None:
    """While a chat runs and nothing happens; once something has, all of it comes."""
    path = _start(gateway, name)
    first = gateway.get(path, name)
    headers = {**gateway.bearer(name), "If-None-Match": first.headers["etag"]}
    same = gateway.http.get(path, headers=headers)
    assert (same.status_code, same.content) == (304, b"")
    assert same.headers["etag"] == first.headers["etag"]
    gateway.do("pause", chat_id=name)
    changed = gateway.http.get(path, headers=headers)
    assert changed.status_code == 200
    assert changed.headers["etag"] != first.headers["etag"]
    assert changed.json()["status"] == "paused"


@pytest.mark.parametrize("asked", ['"a", W/"b", {}', "*", "{}"])
def test_one_of_several_is_enough(gateway: Gateway, name: str, asked: str) -> None:
    path = _start(gateway, name)
    etag = gateway.get(path, name).headers["etag"]
    headers = {**gateway.bearer(name), "If-None-Match": asked.format(etag)}
    assert gateway.http.get(path, headers=headers).status_code == 304


def test_others_have_others(gateway: Gateway, name: str) -> None:
    """An advisor's answer is without the wallet, so its ETag is another one."""
    path = _start(gateway, name)
    tags = {gateway.get(path, *who).headers["etag"] for who in ((name,), ("v", "advisor"))}
    assert len(tags) == 2


def test_what_is_refused_has_none(gateway: Gateway, name: str) -> None:
    for answer in (
        gateway.http.get("/v1/chats/c", headers={"If-None-Match": "*"}),
        gateway.get("/v1/status", name),
    ):
        assert answer.status_code in (401, 403)
        assert "etag" not in answer.headers


@pytest.mark.parametrize(
    "path", ["/v1/chats/{}", "/v1/users/{}/wallet", "/v1/chats?user_id={}", "/healthz", "/"]
)
def test_head_is_get_without_its_body(gateway: Gateway, name: str, path: str) -> None:
    path = path.format(name)
    headers = gateway.bearer(name)
    head, got = gateway.http.head(path, headers=headers), gateway.http.get(path, headers=headers)
    assert head.status_code == got.status_code == 200
    assert head.content == b""
    same = ("content-type", "etag", "content-security-policy")
    assert [head.headers.get(one) for one in same] == [got.headers.get(one) for one in same]


@pytest.mark.parametrize("path", ["/v1/chats/c/stream", "/v1/users/u/stream", "/v1/events"])
def test_head_of_what_has_no_end_is_refused(gateway: Gateway, path: str) -> None:
    answer = gateway.http.head(path, headers=gateway.bearer("u", "ops"))
    assert answer.status_code == 405


def test_who_is_counted_hears_how_many_are_left(gateway: Gateway, name: str) -> None:
    """As the draft of RateLimit header fields has it; a backend has no limit of its own."""
    first, second = (gateway.get("/v1/chats/c", name).headers for _ in range(2))
    assert re.fullmatch(r'"default";q=[0-9]+;w=[0-9]+', first["ratelimit-policy"])
    left = [
        int(re.findall(r"r=([0-9]+);t=[0-9]+$", one["ratelimit"])[0]) for one in (first, second)
    ]
    assert left[0] - 1 <= left[1] <= left[0]
    events = gateway.get("/v1/events", name, "backend")
    assert "ratelimit" not in events.headers
