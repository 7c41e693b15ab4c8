"""What a recovery does to the commands stream, while a daemon waits for it to end."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from meterd.rules.redis_keys import GROUP, Keys
from persistence.redis.client import connect
from persistence.redis.rebuild import Rebuild
from tests.servers import kinds, redis_server

KEYS = Keys()
ROUNDS = 500


@pytest.fixture(scope="module", params=kinds())
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with redis_server(request.param) as url:
        yield url


def test_a_daemon_that_waits_may_make_the_group_at_any_moment(url: str) -> None:
    """It does so with each attempt to lead; the group begins at the beginning all the same."""
    is_over = threading.Event()

    def make_group(client: redis.Redis) -> None:
        with contextlib.suppress(redis.ResponseError):  # it is there
            client.xgroup_create(KEYS.commands, GROUP, id="0", mkstream=True)

    def wait_like_a_daemon() -> None:
        with contextlib.closing(connect(url)) as client:
            while not is_over.is_set():
                make_group(client)

    daemon = threading.Thread(target=wait_like_a_daemon)
    daemon.start()
    try:
        with contextlib.closing(connect(url)) as client:
            make_group(client)  # the thread may not have begun
            for _ in range(ROUNDS):
                client.xadd(KEYS.commands, {"type": "x"})
                client.xreadgroup(GROUP, "m", {KEYS.commands: ">"})
                Rebuild(client, KEYS, ended_ttl_ms=1).fix_commands("0-0", set)
                groups: Any = client.xinfo_groups(KEYS.commands)
                places = [(one["name"], one["last-delivered-id"]) for one in groups]
                assert places == [(GROUP.encode(), b"0-0")]
    finally:
        is_over.set()
        daemon.join()
