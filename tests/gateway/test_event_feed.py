"""The feed of all events: each once and in order, from wherever its reader was before."""

import threading
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from loadtests.common.live import LiveDaemon
from loadtests.common.timeouts import scaled
from tests.gateway.conftest import Gateway, gateway_alone
from tests.gateway.listening import Listener, listening
from tests.gateway.stored_events import count_of, received_ids, stored_after
from tests.shared_daemon import keys_of, servers_of

pytestmark = [pytest.mark.acceptance, pytest.mark.ray]


def _page(gateway: Gateway, **query: Any) -> Any:
    return gateway.read("/v1/events", "a-backend", "backend", **query)


def _top_up(gateway: Gateway, user: str, times: int = 1) -> None:
    for _ in range(times):
        gateway.do("top_up", user_id=user, amount="1")


def test_pages_give_every_event_once_and_in_order(
    gateway: Gateway, live: LiveDaemon, name: str
) -> None:
    place = begin = _page(gateway)["next"]
    _top_up(gateway, name, 7)
    listed: list[Any] = []
    while (page := _page(gateway, after=place, limit=2))["events"]:
        listed += page["events"]
        place = page["next"]
    assert received_ids(listed) == stored_after(live, begin)
    assert [e["seq"] for e in listed if e["user_id"] == name] == list(range(1, 8))
    assert [event["at"] for event in listed] == sorted(event["at"] for event in listed)
    assert {event["event"] for event in listed if event["user_id"] == name} == {"wallet.topped_up"}


def test_of_one_user_the_place_moves_on_past_others(gateway: Gateway, name: str) -> None:
    place = _page(gateway)["next"]
    _top_up(gateway, f"{name}-other", 3)
    page = _page(gateway, after=place, user_id=name)
    assert page["events"] == []
    assert page["next"] != place
    _top_up(gateway, name)
    (event,) = _page(gateway, after=page["next"], user_id=name, wait_ms=5_000)["events"]
    assert event["user_id"] == name


def test_a_long_poll_ends_with_the_first_event(gateway: Gateway, name: str) -> None:
    """It waits for it: the question is asked before the event has happened."""
    place = _page(gateway)["next"]
    asked: list[Any] = []
    waits = threading.Thread(
        target=lambda: asked.append(_page(gateway, after=place, user_id=name, wait_ms=30_000))
    )
    waits.start()
    _top_up(gateway, name)
    waits.join(scaled(10))
    assert [event["user_id"] for event in asked[0]["events"]] == [name]


def test_a_stream_goes_on_after_what_was_read_last(
    gateway: Gateway, live: LiveDaemon, name: str
) -> None:
    """Of the address it was opened with and of what has been read since, that counts."""
    begin = _page(gateway)["next"]
    _top_up(gateway, name, 3)
    first = _page(gateway, after=begin, limit=1)["events"][0]["id"]
    headers = {**gateway.bearer("b", "backend"), "Last-Event-ID": first}
    page = gateway.http.get("/v1/events", params={"after": begin}, headers=headers).json()
    assert received_ids(page["events"]) == stored_after(live, first)
    assert len(page["events"]) == count_of(stored_after(live, begin)) - 1


def test_a_stream_of_one_user_has_that_users_events_only(gateway: Gateway, name: str) -> None:
    begin, token = _page(gateway)["next"], gateway.token("b", "backend")
    path = f"/v1/events?user_id={name}"
    with listening(gateway, path, token, begin) as listener:
        _top_up(gateway, f"{name}-other", 2)
        _top_up(gateway, name, 2)
        heard = listener.until(lambda all_: [e.data["user_id"] for e in all_].count(name) == 2)
    assert [one.data["user_id"] for one in heard] == [name, name]


def _stream(gateway: Gateway, last_id: str) -> AbstractContextManager[Listener]:
    return listening(gateway, "/v1/events", gateway.token("a-backend", "backend"), last_id)


def test_a_stream_that_comes_back_gets_what_it_missed(
    gateway: Gateway, live: LiveDaemon, name: str
) -> None:
    """By the id of the last event that it has read, and nothing twice."""
    begin = _page(gateway)["next"]
    with _stream(gateway, begin) as first:
        _top_up(gateway, name, 2)
        heard = first.until(lambda all_: [e.data["user_id"] for e in all_].count(name) == 2)
    _top_up(gateway, name, 3)
    with _stream(gateway, heard[-1].id or "") as second:
        more = second.until(lambda all_: [e.data["user_id"] for e in all_].count(name) == 3)
    told = [*heard, *more]
    assert received_ids(one.data for one in told) == stored_after(live, begin)
    assert all(one.id == one.data["id"] and one.event == one.data["event"] for one in told)


def test_a_follower_misses_nothing_over_a_restart_of_the_gateway(
    live: LiveDaemon, gateway: Gateway, tmp_path: Path, name: str
) -> None:
    """The stream ends with its reason; the next gateway goes on where the first one stopped."""
    begin = _page(gateway)["next"]
    servers = servers_of(live)
    with gateway_alone(tmp_path, **servers) as first, _stream(first, begin) as before:
        _top_up(gateway, name, 2)
        before.until(lambda all_: [e.data["user_id"] for e in all_].count(name) == 2)
        first.stop()
        assert before.until_ended().event == "end"
        assert before.heard[-1].data == {"reason": "shutdown"}
    heard = before.heard[:-1]
    _top_up(gateway, name, 2)
    with gateway_alone(tmp_path, **servers) as again:
        last = heard[-1].id or ""
        with _stream(again, last) as after:
            _top_up(gateway, name, 1)
            heard += after.until(lambda all_: [e.data["user_id"] for e in all_].count(name) == 3)
    assert received_ids(one.data for one in heard) == stored_after(live, begin)


def test_a_place_that_is_too_old_is_told_as_such(
    gateway: Gateway, live: LiveDaemon, name: str
) -> None:
    """By page and as a stream: never a gap that nobody hears of."""
    place = _page(gateway)["next"]
    _top_up(gateway, name, 3)
    with live.client() as client:
        client.xtrim(keys_of(name).events, maxlen=1, approximate=False)
    for accept in ("application/json", "text/event-stream"):
        headers = {**gateway.bearer("b", "backend"), "Accept": accept}
        answer = gateway.http.get("/v1/events", params={"after": place}, headers=headers)
        assert answer.status_code == 410
        assert answer.json()["code"] == "events_lost"
    assert _page(gateway, after="0")["events"]


def test_a_stream_ends_with_its_token(gateway: Gateway) -> None:
    token = gateway.token("b", "backend", ttl_s=2)
    with listening(gateway, "/v1/events", token) as listener:
        assert listener.until_ended().data == {"reason": "token_expired"}


@pytest.mark.parametrize("role", ["user", "advisor"])
def test_only_backends_and_operators_follow_everything(gateway: Gateway, role: str) -> None:
    assert gateway.get("/v1/events", "u", role).status_code == 403
    assert gateway.get("/v1/events", "u", "ops").status_code == 200


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"after": "x"}, "after"),
        ({"after": "1"}, "after"),
        ({"limit": "501"}, "limit"),
        ({"wait_ms": "30001"}, "wait_ms"),
        ({"user_id": "a b"}, "user_id"),
        ({"since": "0"}, "since"),
    ],
)
def test_what_is_wrong_is_named(gateway: Gateway, query: dict[str, str], field: str) -> None:
    answer = gateway.get("/v1/events", "b", "backend", **query)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]
