"""Is this Redis one that money can be kept in? Asked once, before anything is written."""

from typing import Any

import redis

from meterd.rules.redis_keys import Keys
from persistence.errors import PreflightError
from persistence.redis.versions import FORMAT, READABLE, VERSION, why_versions_refused


def check_preflight(client: redis.Redis, keys: Keys | None = None) -> None:
    """Make sure that nothing is evicted and that what is there can be read; nothing is written.

    Where somebody has worked, the format is written with the lease: until then a daemon of the
    version before this one may go on, or come back.

    Raises:
        PreflightError: keys may be evicted, or the data was written by a newer meterd.
    """
    _refuse_eviction(client)
    name = (keys or Keys()).format
    raw: Any = client.get(name)
    found = int(raw) if raw else 1
    why = why_versions_refused(VERSION, (), formats=READABLE, found_format=found)
    if why:
        raise PreflightError(why)


def mark_format(client: redis.Redis, keys: Keys) -> None:
    """Say in which format everything will be written, where nobody has ever led."""
    if not client.exists(keys.epoch):
        client.set(keys.format, FORMAT, nx=True)


def _refuse_eviction(client: redis.Redis) -> None:
    memory: Any = client.info("memory")
    policy = memory.get("maxmemory_policy", "noeviction")
    if memory.get("maxmemory") and policy != "noeviction":
        raise PreflightError(
            f"Redis may throw keys away when it is full (maxmemory-policy {policy}), and they are "
            "credits: set maxmemory-policy noeviction"
        )
