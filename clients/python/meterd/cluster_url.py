"""URLs that name nodes of a Redis Cluster, any of which knows who has which slot.

::

    redis+cluster://user:password@host-a:6379,host-b:6379
    rediss+cluster://…

User and password are those of every node. A connection is always to the master that has one
partition's slot, which ``?partition=3`` names; ``url_of_partition`` writes it.
"""

import binascii
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

from meterd.rules.partitions import PARTITIONS_MAX
from meterd.sentinel_url import Address, read_address, split_url

CLUSTER_SCHEMES: Final = ("redis+cluster", "rediss+cluster")
_PORT: Final = 6379
_SLOTS: Final = 16_384
_PARTITION: Final = "partition"


class ClusterUrl(NamedTuple):
    """A URL of a cluster, in its parts."""

    hosts: list[Address]
    options: dict[str, Any]
    """Of connections to every node."""
    is_tls: bool
    partition: int
    """Whose slot the connections are for."""


def is_cluster(url: str) -> bool:
    """Whether the URL names nodes of a cluster."""
    return url.lower().startswith(tuple(f"{scheme}://" for scheme in CLUSTER_SCHEMES))


def parse_cluster_url(url: str) -> ClusterUrl:
    """Take a URL of a cluster apart.

    Raises:
        ValueError: it names no node, or has a port, a path or a parameter that can't be one.
    """
    parts, query = split_url(url)
    login, _, hosts = parts.netloc.rpartition("@")
    if not hosts or parts.path.strip("/") not in ("", "0"):
        raise ValueError("want redis+cluster://host:6379,host:6379; a cluster has database 0 only")
    if query.keys() - {_PARTITION}:
        raise ValueError("want no parameter: a URL of a cluster has none")
    number = query.get(_PARTITION, "0")
    if not (number.isascii() and number.isdecimal() and int(number) < PARTITIONS_MAX):
        raise ValueError(f"want a partition below {PARTITIONS_MAX}")
    user, _, password = login.partition(":")
    named = {"username": unquote(user), "password": unquote(password)}
    options: dict[str, Any] = {name: value for name, value in named.items() if value}
    is_tls = parts.scheme == "rediss+cluster"
    nodes = [read_address(host, _PORT) for host in hosts.split(",")]
    return ClusterUrl(nodes, options, is_tls, int(number))


def url_of_partition(url: str, partition: int) -> str:
    """The URL of the master of a partition's slot, in the cluster that ``url`` names."""
    return f"{url.partition('?')[0]}?{_PARTITION}={partition}"


def slot_of(partition: int) -> int:
    """The slot of all keys of a partition: that of their hash tag, its number."""
    return binascii.crc_hqx(str(partition).encode(), 0) % _SLOTS
