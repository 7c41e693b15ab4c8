"""A client that was there before the first daemon: it learns how many partitions there are."""

from collections.abc import Iterator
from itertools import count

import pytest
import redis

from loadtests.common.timeouts import scaled
from meterd.rules.partitions import partition_of
from meterd.rules.redis_keys import Keys
from persistence.redis.layout import PartitionLayout, write_layout
from tests.client.either import maker
from tests.client.played import Client, NodeClient, PythonClient

pytestmark = pytest.mark.redis

PARTITIONS = 4
_NUMBERS = count()


@pytest.fixture(params=["typescript", "threads", "asyncio"])
def client(request: pytest.FixtureRequest, server: str) -> Iterator[Client]:
    """A client of each kind; nothing is asked by it yet."""
    if request.param == "typescript":
        node = NodeClient(request.getfixturevalue("driver"), f"first-{next(_NUMBERS)}", server)
        yield node
        node.close().result(10)
    else:
        with maker(request.param) as make:
            yield PythonClient(make(server))


def _make_partitions(queue: redis.Redis) -> None:
    for number in range(PARTITIONS):
        write_layout(queue, PartitionLayout(number, PARTITIONS))


def _users() -> list[str]:
    """One in each partition, in the order of their numbers."""
    names = [f"u{number}" for number in range(100)]
    return [
        next(name for name in names if partition_of(name, PARTITIONS) == number)
        for number in range(PARTITIONS)
    ]


def _happen(queue: redis.Redis, user_id: str, at_ms: int) -> str:
    fields = {"event": "wallet.topped_up", "at": at_ms, "user_id": user_id, "seq": 1}
    stream = Keys(partition_of(user_id, PARTITIONS)).events
    entry = queue.xadd(stream, fields, id=f"{at_ms}-0")  # type: ignore[arg-type]
    return str(entry.decode())  # type: ignore[union-attr]


def test_events_of_all_partitions_come_to_who_has_waited_for_the_first_daemon(
    client: Client, queue: redis.Redis
) -> None:
    """Whatever happens in the partitions is later than the reader's begin, so none is left out."""
    client.follow("all", "$", None)
    _make_partitions(queue)
    users = _users()
    entries = [_happen(queue, user, 1_000 + number) for number, user in enumerate(users)]
    told = client.read("all", len(users)).result(scaled(30))
    assert [event["user_id"] for event in told["events"]] == users
    assert told["after"] == told["events"][-1]["id"] == ",".join(entries)


def test_an_id_of_an_event_is_the_place_to_go_on_after(client: Client, queue: redis.Redis) -> None:
    """Wherever a reader stopped: it gets the rest of all partitions, and nothing again."""
    _make_partitions(queue)
    users = _users() * 2
    for number, user in enumerate(users):
        _happen(queue, user, 1_000 + number)
    client.follow("some", "0", None)
    some = client.read("some", 3).result(scaled(30))["events"]
    client.follow("rest", some[-1]["id"], None)
    rest = client.read("rest", len(users) - 3).result(scaled(30))["events"]
    assert [event["user_id"] for event in [*some, *rest]] == users
