"""Connections of the client in TypeScript: refused, silent and closed ones."""

import json
import time
from typing import Any

import pytest
import redis

from tests.client.by_hand import KEYS, answering, until
from tests.client.typescript.node import Call, Failed, refused
from tests.proxy import Proxy
from tests.servers import free_port

pytestmark = [pytest.mark.redis, pytest.mark.timeout(60)]


def test_a_refusal_of_the_server_is_not_repeated(meter: Any, queue: redis.Redis) -> None:
    """What can't get better is told at once."""
    queue.set(KEYS.commands, "not a stream")
    started = time.monotonic()
    said = refused(meter, "pause", chat_id="c")
    assert said["error"] == "NotConfirmedError"
    assert "WRONGTYPE" in said["message"]
    assert time.monotonic() - started < 1


def test_a_password_that_is_wrong_is_told_at_once(
    make: Call, server: str, queue: redis.Redis
) -> None:
    """And the error does not repeat it."""
    meter = make(server.replace("redis://", "redis://nobody:secret-word@"))
    started = time.monotonic()
    said = refused(meter, "wallet", user_id="u")
    assert said["error"] == "UnavailableError"
    assert time.monotonic() - started < 2
    assert "secret-word" not in json.dumps(said)


@pytest.mark.parametrize("url", ["", "http://h", "127.0.0.1:6379", "redis://user:secret-word@h:x"])
def test_what_is_no_url_of_redis_is_refused_at_once(make: Call, url: str) -> None:
    """Without repeating it, since it may hold a password."""
    with pytest.raises(Failed) as caught:
        make(url)
    assert caught.value.said["error"] == "TypeError"
    assert "secret-word" not in json.dumps(caught.value.said)


@pytest.mark.parametrize("url", ["rediss://h:1/2", "unix:///none.sock", "unix://u:p@/none?db=1"])
def test_any_url_that_the_library_reads_will_do(make: Call, url: str) -> None:
    """Nothing is connected before the first call, so nothing has to be there."""
    said = refused(make(url), "pause", chat_id="c", timeout_s=0.1)
    assert said["error"] == "NotConfirmedError"


def test_a_server_that_accepts_and_says_nothing_ends_the_call_in_time(
    make: Call, proxy: Proxy
) -> None:
    """Connecting has a limit, too, and closing does not wait for it."""
    proxy.stall()
    meter = make(proxy.url)
    started = time.monotonic()
    said = refused(meter, "pause", chat_id="c", timeout_s=0.5)
    assert said["error"] == "NotConfirmedError"
    meter.close()
    assert time.monotonic() - started < 2
    proxy.flow()


@pytest.mark.slow
@pytest.mark.parametrize("is_connected", [False, True])
def test_a_connection_that_gives_no_answer_is_left_for_another_one(
    make: Call, proxy: Proxy, queue: redis.Redis, is_connected: bool
) -> None:
    """After 2 seconds of connecting, or 3 of waiting: it may lead to a server that is gone."""
    meter = make(proxy.url)
    if is_connected:
        meter.call("wallet", user_id="u")
    proxy.stall()
    accepted = proxy.accepted
    asking = meter.begin("wallet", user_id="u")
    until(lambda: proxy.accepted >= accepted + (1 if is_connected else 2), timeout_s=8)
    proxy.flow()
    assert asking.result(30)["user_id"] == "u"


def test_closing_leaves_no_connection(make: Call, server: str, queue: redis.Redis) -> None:
    """Neither of events that were closed nor of the client."""
    before = len(queue.client_list())
    meter = make(server)
    meter.driver.ask("follow", meter=meter.name, name="closed", after="$")
    assert len(queue.client_list()) == before + 1
    meter.driver.ask("unfollow", name="closed")
    until(lambda: len(queue.client_list()) == before)
    meter.driver.ask("follow", meter=meter.name, name="open", after="$")
    with answering(server):
        meter.call("pause", chat_id="c")
    meter.close()
    until(lambda: len(queue.client_list()) == before)


def test_a_server_that_is_read_only_is_left_for_its_successor(
    make: Call, proxy: Proxy, server: str, queue: redis.Redis
) -> None:
    """A master that was demoted stays connected: after READONLY a new connection is made."""
    meter = make(proxy.url)
    assert meter.call("wallet", user_id="u")["seq"] == 0
    queue.replicaof("127.0.0.1", str(free_port()))
    accepted = proxy.accepted
    sending = meter.begin("pause", enqueue=True, chat_id="c")
    until(lambda: proxy.accepted > accepted)
    queue.replicaof("NO", "ONE")
    assert sending.result(30)["entry"]
