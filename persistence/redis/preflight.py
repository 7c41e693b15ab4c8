"""Is this Redis one that money can be kept in? Asked once, before anything is written."""

from typing import Any, Final

import redis

from meterd.rules.redis_keys import Keys
from persistence.errors import PreflightError

FORMAT: Final = 2
"""The version of what is kept in Redis. 1 had no number; it is read as it is."""

READABLE: Final = (1, 2)


def check_preflight(client: redis.Redis, keys: Keys | None = None) -> None:
    """Make sure that nothing is evicted and that what is there can be read, and mark it as ours.

    Raises:
        UnfitError: keys may be evicted, or the data was written by a newer meterd.
    """
    _refuse_eviction(client)
    name = (keys or Keys()).format
    raw: Any = client.get(name)
    found = int(raw) if raw else 1
    if found not in READABLE:
        raise PreflightError(
            f"what is in this Redis was written in format {found}; this meterd reads {READABLE}: "
            "install the meterd that wrote it"
        )
    if found != FORMAT:
        client.set(name, FORMAT)


def _refuse_eviction(client: redis.Redis) -> None:
    memory: Any = client.info("memory")
    policy = memory.get("maxmemory_policy", "noeviction")
    if memory.get("maxmemory") and policy != "noeviction":
        raise PreflightError(
            f"Redis may throw keys away when it is full (maxmemory-policy {policy}), and they are "
            "credits: set maxmemory-policy noeviction"
        )
