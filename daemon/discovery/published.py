"""What the daemons that work on a Redis say of themselves, over all partitions."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import redis
import redis.asyncio

from actors.supervisor.merged_status import merge_statuses
from meterd.rules.redis_keys import Keys
from persistence.redis.layout import read_partitions
from persistence.redis.published_status import read_status, read_status_async

_NOBODY: Final = {"state": "down", "why": "no daemon works on it"}


def read_whole_status(client: redis.Redis) -> dict[str, Any] | None:
    """The status of all partitions; None if no daemon works on any of them.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    partitions = range(read_partitions(client))
    return _merged([read_status(client, Keys(number)) for number in partitions])


async def read_whole_status_async(
    client: redis.asyncio.Redis, partitions: Iterable[Keys]
) -> dict[str, Any] | None:
    """The same with asyncio, of these partitions. Raises as ``read_whole_status``."""
    return _merged([await read_status_async(client, keys) for keys in partitions])


def _merged(found: Sequence[dict[str, Any] | None]) -> dict[str, Any] | None:
    return merge_statuses([one or _NOBODY for one in found]) if any(found) else None
