"""What is read from the queue, and how it is read."""

from typing import Any

import redis

from meterd.rules.redis_keys import Keys

KEYS = Keys()


def queue_ms(client: redis.Redis) -> int:
    """The queue's clock: milliseconds since 1970."""
    answer: Any = client.time()
    seconds, micros = answer
    return int(seconds) * 1000 + int(micros) // 1000


def is_handled(client: redis.Redis, keys: Keys = KEYS) -> bool:
    """Whether a partition's queue is worked off and Postgres has all of it."""
    groups: Any = client.xinfo_groups(keys.commands)
    stream: Any = client.xinfo_stream(keys.commands)
    done = all(
        not group["pending"] and group["last-delivered-id"] == stream["last-generated-id"]
        for group in groups
    )
    return bool(groups) and done and not client.xlen(keys.outbox)


def credits_for(lasts_ms: int) -> str:
    """Credits that last so long at one a second."""
    return f"{lasts_ms // 1000}.{lasts_ms % 1000:03}"
