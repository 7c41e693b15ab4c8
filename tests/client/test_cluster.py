"""The Python client on a real cluster: each partition's master is found, and found again."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from redis.exceptions import MovedError

from meterd.redis_servers import RedisServers
from meterd.rules.partitions import partition_of
from meterd.rules.redis_keys import Keys
from persistence.redis.client import RedisClients
from persistence.redis.layout import PartitionLayout, write_layout
from tests.client.either import Make
from tests.redis_cluster import RedisCluster, until
from tests.servers import kinds_apart

pytestmark = [pytest.mark.redis, pytest.mark.timeout(120)]

PARTITIONS: Final = 4


@pytest.fixture(scope="module", params=kinds_apart())
def cluster(request: pytest.FixtureRequest) -> Iterator[RedisCluster]:
    folder = Path(tempfile.mkdtemp(prefix="meterd-cluster-"))
    cluster = RedisCluster(request.param, folder)
    try:
        cluster.start()
        with RedisClients(RedisServers(cluster.url)) as clients:
            for number in range(PARTITIONS):
                write_layout(clients.of(number), PartitionLayout(number, PARTITIONS))
        yield cluster
    finally:
        cluster.kill()
        shutil.rmtree(folder, ignore_errors=True)


def _users() -> list[str]:
    found = {partition_of(f"u{n}", PARTITIONS): f"u{n}" for n in range(50)}
    return [found[number] for number in range(PARTITIONS)]


def _send_to_all(meter: Any, cluster: RedisCluster) -> None:
    """A command to each partition; each is in its stream, once."""
    with RedisClients(RedisServers(cluster.url)) as clients:
        for number, user in enumerate(_users()):
            client, keys = clients.of(number), Keys(number)
            before = int(client.xlen(keys.commands))
            entry = meter.enqueue.top_up(user, 1).entry
            last: Any = client.xrevrange(keys.commands, count=1)
            assert last[0][0].decode() == entry
            assert client.xlen(keys.commands) == before + 1


def _last(cluster: RedisCluster, number: int) -> str:
    """The last command of a partition; empty while a node does not know of the failover yet."""
    with RedisClients(RedisServers(cluster.url)) as clients, contextlib.suppress(MovedError):
        last: Any = clients.of(number).xrevrange(Keys(number).commands, count=1)
        return str(last[0][0].decode())
    return ""


def test_a_demoted_master_is_left_at_its_first_answer(make: Make, cluster: RedisCluster) -> None:
    """It stays up and says MOVED; nothing is sent twice, and what waits for events goes on."""
    meter = make(cluster.url)
    _send_to_all(meter, cluster)
    cluster.fail_over()
    users, entries = _users(), list[str]()
    for user in users:
        entries.append(meter.enqueue.top_up(user, 1).entry)
    for number, entry in enumerate(entries):
        until(lambda number=number, entry=entry: _last(cluster, number) == entry)  # type: ignore[misc]


def test_any_node_of_the_url_is_enough(make: Make, cluster: RedisCluster) -> None:
    """One that is not there is passed over."""
    meter = make(f"redis+cluster://127.0.0.1:1,127.0.0.1:{cluster.nodes[2].port}")
    _send_to_all(meter, cluster)


def test_where_nobody_has_the_slot_the_error_says_so(make: Make) -> None:
    meter = make("redis+cluster://127.0.0.1:1")
    with pytest.raises(Exception, match="no node of the cluster says who has slot"):
        meter.enqueue.top_up("u1", 1, timeout_s=0.3)
