"""URLs of a cluster, and who has a partition's slot: what nodes answer is what clients use."""

from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from meterd.cluster_nodes import ClusterNodes, SlotMap, read_slots
from meterd.cluster_url import (
    is_cluster,
    parse_cluster_url,
    slot_of,
    url_of_partition,
)
from meterd.redis_servers import ByServer, RedisServers
from meterd.rules.redis_keys import Keys, partition_of_key

URL = "redis+cluster://me:p%40ss@[::1]:1,b"


def test_hosts_and_login_are_read_and_the_partition_is_written() -> None:
    """A letter that a URL can't hold as it is, an address with colons, a port left out."""
    assert parse_cluster_url(URL) == (
        [("::1", 1), ("b", 6379)], {"username": "me", "password": "p@ss"}, False, 0
    )  # fmt: skip
    named = url_of_partition(URL.replace("redis+", "rediss+"), 255)
    assert parse_cluster_url(named).partition == 255
    assert parse_cluster_url(named).is_tls
    assert url_of_partition(named, 3) == url_of_partition(URL.replace("redis+", "rediss+"), 3)


@pytest.mark.parametrize(
    "rest",
    ["", "h:x", "h:1,", "h:1/1", "h:1/m", "h?db=1", "h?partition=256", "h:65536",
     "h?hunter2", "h?hunter2=1", "[::1"],
)  # fmt: skip
def test_what_can_not_be_one_is_refused_without_its_password(rest: str) -> None:
    url = f"redis+cluster://me:hunter2@{rest}"
    assert is_cluster(url)
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is looked at below
        parse_cluster_url(url)
    assert "hunter2" not in str(caught.value)


@given(st.integers(0, 255))
def test_a_partition_has_the_slot_of_all_its_keys(partition: int) -> None:
    """As the servers count it; and each key names its partition."""
    keys = Keys(partition)
    for key in (keys.commands, keys.chat("c:{9}"[:1]), keys.layout):
        assert slot_of(partition) == key_slot(key.encode())
        assert partition_of_key(key) == partition


ANSWER: Any = [
    [0, 99, [b"10.0.0.1", 1, b"id"], [b"10.0.0.2", 2, b"id"]],
    [100, 16383, [b"", 3, b"id"]],
]


def test_the_master_of_a_slot_is_read_and_all_nodes_with_it() -> None:
    """A node that does not know its own host is the one that was asked."""
    nodes = [("10.0.0.1", 1), ("10.0.0.2", 2), ("asked", 3)]
    assert read_slots(ANSWER, 99, ("asked", 9)) == SlotMap(("10.0.0.1", 1), nodes)
    assert read_slots(ANSWER, 100, ("asked", 9)).master == ("asked", 3)
    assert read_slots(ANSWER[:1], 100, ("asked", 9)).master is None


def test_each_question_begins_with_another_node_and_goes_on_with_those_that_were_named() -> None:
    """So one that is away, or knows less than the others, is not asked again and again."""
    nodes, asked, away = ClusterNodes([("a", 1), ("b", 2)], 5), list[Any](), {("a", 1)}

    def ask(node: Any) -> Any:
        asked.append(node)
        if node in away:
            raise redis.ConnectionError("refused")
        return ANSWER

    assert nodes.find(ask) == ("10.0.0.1", 1)
    assert asked == [("a", 1), ("b", 2)]
    away |= {("b", 2)}
    asked.clear()
    assert nodes.find(ask) == ("10.0.0.1", 1)
    assert asked[0] == ("b", 2)
    assert asked[-1] not in {("a", 1), ("b", 2)}, "named by the first answer"
    away |= {(host, port) for host in ("10.0.0.1", "10.0.0.2", "b") for port in (1, 2, 3)}
    with pytest.raises(redis.ConnectionError, match="who has slot 5: refused"):
        nodes.find(ask)


def test_partitions_are_shared_out_in_the_order_of_the_urls() -> None:
    """With a cluster each partition has a place of its own."""
    servers = RedisServers(["redis://a", "redis://b"])
    assert servers.groups(4) == {"redis://a": [0, 2], "redis://b": [1, 3]}
    made = ByServer(servers, str.upper)
    assert list(made.groups(4)) == [("REDIS://A", [0, 2]), ("REDIS://B", [1, 3])]
    assert made.split([3, 0, 2]) == {"redis://b": [0], "redis://a": [1, 2]}
    assert RedisServers("redis://a").groups(2) == {"redis://a": [0, 1]}
    cluster = RedisServers(URL)
    assert list(cluster.groups(2)) == [url_of_partition(URL, 0), url_of_partition(URL, 1)]
    for wrong in ([], ["redis://a", URL]):
        with pytest.raises(ValueError, match=r"one URL|no other URL"):
            RedisServers(wrong)
