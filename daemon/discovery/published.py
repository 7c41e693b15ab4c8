"""What the daemons that work on a Redis say of themselves, over all partitions."""

from typing import Any, Final

import redis

from actors.supervisor.merged_status import merge_statuses
from meterd.rules.redis_keys import Keys
from persistence.redis.layout import read_partitions
from persistence.redis.published_status import read_status

_NOBODY: Final = {"state": "down", "why": "no daemon works on it"}


def read_whole_status(client: redis.Redis) -> dict[str, Any] | None:
    """The status of all partitions; None if no daemon works on any of them.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    found = [read_status(client, Keys(number)) for number in range(read_partitions(client))]
    return merge_statuses([one or _NOBODY for one in found]) if any(found) else None
