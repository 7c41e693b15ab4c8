"""The Python client with several servers: what each one's part is, and a wrong order."""

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest

from meterd import NotConfirmedError, UnavailableError
from meterd.redis_servers import RedisServers
from meterd.rules.partitions import partition_of
from meterd.rules.redis_keys import Keys
from persistence.redis.client import RedisClients
from persistence.redis.layout import PartitionLayout, write_layout
from tests.client.either import Make
from tests.servers import redis_server

pytestmark = [pytest.mark.redis, pytest.mark.timeout(60)]

PARTITIONS: Final = 4
USERS: Final = {partition_of(f"u{n}", PARTITIONS): f"u{n}" for n in range(50)}


@pytest.fixture
def clients() -> Iterator[RedisClients]:
    with redis_server() as a, redis_server() as b, RedisClients(RedisServers([a, b])) as clients:
        for number in range(PARTITIONS):
            write_layout(clients.of(number), PartitionLayout(number, PARTITIONS))
        yield clients


def _last(clients: RedisClients, number: int) -> str:
    last: Any = clients.of(number).xrevrange(Keys(number).commands, count=1)
    return str(last[0][0].decode()) if last else ""


def test_each_command_goes_to_its_partitions_server(make: Make, clients: RedisClients) -> None:
    meter = make(clients.servers.urls)
    for number, user in USERS.items():
        assert meter.enqueue.top_up(user, 1).entry == _last(clients, number)
        clients.of(number).set(Keys(number).chat(f"c-{user}"), json.dumps({"user_id": user}))
        assert meter.enqueue.pause(f"c-{user}").entry == _last(clients, number)


@pytest.mark.parametrize("given", ["in another order", "one of two"])
def test_a_server_without_the_users_partition_gets_no_command(
    make: Make, clients: RedisClients, given: str
) -> None:
    urls = list(reversed(clients.servers.urls))
    meter = make(urls if given == "in another order" else urls[1])
    with pytest.raises(NotConfirmedError, match="give all URLs of the daemon, in its order"):
        meter.enqueue.top_up(USERS[1], 1, timeout_s=0.3)
    assert [clients.of(number).dbsize() for number in (0, 1)] == [2, 2]


def test_events_of_one_server_go_on_while_the_other_is_away(
    make: Make, clients: RedisClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, not at the end of a wait; nobody who follows both is told of an error."""
    monkeypatch.setattr("meterd._core.TIMEOUT_S", 3.0)
    with redis_server() as gone:
        write_layout(clients.of(0), PartitionLayout(0, 2))
    urls = [clients.servers.urls[0], gone]
    meter = make(urls)
    with meter.events(after="0") as events:
        for seq in range(5):
            fields: Any = {"event": "e", "at": "1", "user_id": USERS[0], "seq": str(seq)}
            clients.of(0).xadd(Keys(0).events, fields)
            assert next(events).seq == seq
    with pytest.raises((UnavailableError, NotConfirmedError)):
        meter.enqueue.top_up(USERS[1], 1, timeout_s=0.3)
