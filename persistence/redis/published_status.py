"""The one answer to "is the daemon up?": what it published in Redis last, if that still holds.

A daemon publishes its status every second, with an expiry of some seconds. A status from before a
restart of Redis does not hold: the daemon compares Redis with Postgres first, and handles no
command until then.
"""

from typing import Any, Final

import msgspec
import redis
import redis.asyncio

from meterd.rules.redis_keys import Keys

_FUNCTION: Final = "meterd_status"
_UNVERIFIED: Final = b"unverified"
"""How the function library says that a daemon works, and Redis has been restarted since."""


def read_status(client: redis.Redis, keys: Keys) -> dict[str, Any] | None:
    """The status of the daemon that works on this Redis; None if there is none.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    try:
        answer: Any = client.fcall_ro(_FUNCTION, 1, keys.commands)
    except redis.ResponseError:  # the library is not there at the moment
        answer = client.get(keys.status), b""
    return _decide(*answer)


async def read_status_async(client: redis.asyncio.Redis, keys: Keys) -> dict[str, Any] | None:
    """The same with asyncio."""
    try:
        answer: Any = await client.fcall_ro(_FUNCTION, 1, keys.commands)
    except redis.ResponseError:  # as above
        answer = await client.get(keys.status), b""
    return _decide(*answer)


def _decide(published: bytes | None, verified: bytes) -> dict[str, Any] | None:
    if not published:
        return None
    status = msgspec.json.decode(published, type=dict[str, Any])
    if verified == _UNVERIFIED and status["state"] == "ready":
        # Nobody knows since when.
        why = "Redis was restarted: it is compared first"
        return {**status, "state": "recovering", "state_since": None, "why": why}
    return status
