"""A master with its replica, and what makes the replica the master."""

import contextlib
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import redis

from loadtests.common.timeouts import scaled
from meterd.sentinel_url import parse_sentinel_url
from persistence.redis.client import connect
from tests.proxy import Proxy, proxy_to
from tests.servers import redis_server


class Pair(NamedTuple):
    """A master and its replica, and the address that clients know."""

    first: str
    second: str
    proxy: Proxy

    @property
    def first_address(self) -> tuple[str, int]:
        """Where the first server listens."""
        return _address(self.first)

    def fail_over(self) -> None:
        """The replica becomes the master; the old master stays up, and so do its connections."""
        with connect(self.first) as first, connect(self.second) as second:
            second.replicaof("NO", "ONE")
            host, port = _address(self.second)
            first.replicaof(host, str(port))
        self.proxy.move(self.second)


def _address(url: str) -> tuple[str, int]:
    host, _, port = url.removeprefix("redis://").removesuffix("/0").partition(":")
    return host, int(port)


@contextlib.contextmanager
def replicated_pair(kind: str) -> Iterator[Pair]:
    """Two servers, the second one a replica of the first."""
    with redis_server(kind) as first, redis_server(kind) as second:
        with connect(second) as replica:
            replica.replicaof(*map(str, _address(first)))
            deadline = time.monotonic() + scaled(30)
            while replica.info("replication")["master_link_status"] != "up":
                assert time.monotonic() < deadline
                time.sleep(0.02)
        with proxy_to(first) as proxy:
            yield Pair(first, second, proxy)


def fail_over_by_sentinel(url: str) -> None:
    """Make a Sentinel fail over, as soon as it knows the replica, and wait for the end of it.

    At the end the old master is a replica: until then it takes writes, which are lost.
    """
    ((host, port), *_) = parse_sentinel_url(url).hosts
    deadline = time.monotonic() + scaled(60)
    with redis.Redis(host, port) as client:
        ask: Any = client.execute_command
        before = ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster")
        while ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster") == before:
            assert time.monotonic() < deadline
            with contextlib.suppress(redis.ResponseError):  # no replica is known, or under way
                ask("SENTINEL", "FAILOVER", "mymaster")
            time.sleep(0.05)
        with redis.Redis(before[0].decode(), int(before[1])) as old:
            while old.info("replication")["role"] == "master":
                assert time.monotonic() < deadline
                time.sleep(0.05)
