"""How many partitions the data in Redis was made with, and which of them a server has.

With one partition nothing is written, so that the keys are those of version 0.1.
"""

import contextlib
from collections.abc import Iterable
from typing import Any, Final

import msgspec
import redis

from meterd.rules.redis_keys import Keys
from persistence.redis.client import RedisClients


class PartitionLayout(msgspec.Struct, frozen=True):
    """What a partition's Redis says of itself."""

    partition: int = 0
    partitions: int = 1


ALONE: Final = PartitionLayout()


def read_partitions(clients: RedisClients) -> int:
    """How many partitions there are; one where nothing was written, or for who may not know.

    Whoever takes too few for all is told so by the daemon: ``wrong_partition``.

    Raises:
        redis.RedisError: no server answers.
    """
    for number in range(len(clients.servers.urls) - 1):
        with contextlib.suppress(redis.ConnectionError, redis.TimeoutError):
            return _read_partitions(clients.of(number), Keys(number))
    last = len(clients.servers.urls) - 1
    return _read_partitions(clients.of(last), Keys(last))


def _read_partitions(client: redis.Redis, keys: Keys) -> int:
    try:
        raw: Any = client.get(keys.layout)
    except redis.exceptions.NoPermissionError:
        return ALONE.partitions
    return msgspec.json.decode(raw, type=PartitionLayout).partitions if raw else ALONE.partitions


def written_layout(client: redis.Redis, keys: Keys) -> PartitionLayout | None:
    """The layout by the keys of a partition; None where nothing was written, as with one."""
    raw: Any = client.get(keys.layout)
    return None if raw is None else msgspec.json.decode(raw, type=PartitionLayout)


def written_here(client: redis.Redis, partitions: Iterable[Keys]) -> list[int]:
    """Those of some partitions that this server has a layout of."""
    listed = list(partitions)
    found: Any = client.mget([keys.layout for keys in listed]) if listed else []
    return [keys.partition for keys, raw in zip(listed, found, strict=True) if raw is not None]


def read_layout(client: redis.Redis, keys: Keys) -> PartitionLayout | None:
    """The layout by the keys of a partition; None where no daemon ever worked with them."""
    found = written_layout(client, keys)
    if found is None and client.exists(keys.format, keys.epoch):
        return ALONE
    return found


def write_layout(client: redis.Redis, layout: PartitionLayout) -> None:
    """Write it, unless there is one already: whoever was first has said it for good."""
    if layout.partitions > 1:
        client.set(Keys(layout.partition).layout, msgspec.json.encode(layout), nx=True)
