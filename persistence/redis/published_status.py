"""The one answer to "is the daemon up?": what it published in Redis last, if that still holds.

A daemon publishes its status every second, with an expiry of some seconds. A status from before a
restart of Redis does not hold: the daemon compares Redis with Postgres first, and handles no
command until then.

Whether it holds is known to the function library of the daemon's version, which its status names.
While an upgrade is under way that may be another one than the reader's.
"""

from typing import Any, Final

import msgspec
import redis
import redis.asyncio

from meterd.rules.redis_keys import Keys
from persistence.redis.functions import function_name
from persistence.redis.versions import UNVERSIONED, VERSION

READY: Final = "ready"
_REFUSED_ID: Final = "must be greater than 0-0"
_UNVERIFIED: Final = b"unverified"
"""How the function library says that a daemon works, and Redis has been restarted since."""


def read_status(client: redis.Redis, keys: Keys) -> dict[str, Any] | None:
    """The status of the daemon that works on this Redis; None if there is none.

    A daemon that says that it is ready is not, if this server takes no commands from here: it may
    have been demoted, and the daemon works on another one.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    published, verified = _ask(client, keys, VERSION)
    version = _version_of(published)
    if version != VERSION:
        published, verified = _ask(client, keys, version)
    status = _decide(published, verified)
    if status is None or status["state"] != READY:
        return status
    try:
        _probe(client, keys)
    except redis.ResponseError as error:
        return _unless_unable(status, error)
    return status


async def read_status_async(client: redis.asyncio.Redis, keys: Keys) -> dict[str, Any] | None:
    """The same with asyncio."""
    published, verified = await _ask_async(client, keys, VERSION)
    version = _version_of(published)
    if version != VERSION:
        published, verified = await _ask_async(client, keys, version)
    status = _decide(published, verified)
    if status is None or status["state"] != READY:
        return status
    try:
        await _probe(client, keys)
    except redis.ResponseError as error:
        return _unless_unable(status, error)
    return status


async def check_writable(client: redis.asyncio.Redis, keys: Keys) -> None:
    """Find out whether this server takes commands, without sending one.

    Raises:
        redis.RedisError: it does not answer, or is read-only, full, loading …
    """
    try:
        await _probe(client, keys)
    except redis.ResponseError as error:
        if _REFUSED_ID not in str(error):
            raise


_Answer = tuple[bytes | None, bytes]
"""What was published, and what the library says of the server's state."""


def _ask(client: redis.Redis, keys: Keys, version: int) -> _Answer:
    try:
        answer: Any = client.fcall_ro(function_name("status", version), 1, keys.commands)
    except redis.ResponseError:  # this library is not there, or not at the moment
        answer = client.get(keys.status), b""
    published, verified = answer
    return published, verified


async def _ask_async(client: redis.asyncio.Redis, keys: Keys, version: int) -> _Answer:
    try:
        answer: Any = await client.fcall_ro(function_name("status", version), 1, keys.commands)
    except redis.ResponseError:  # as above
        answer = await client.get(keys.status), b""
    published, verified = answer
    return published, verified


class _Publisher(msgspec.Struct):
    """Of a status: the version whose functions its daemon calls."""

    functions: int = UNVERSIONED


def _version_of(published: bytes | None) -> int:
    if not published:
        return VERSION
    return msgspec.json.decode(published, type=_Publisher).functions


def _probe(client: Any, keys: Keys) -> Any:
    """An XADD that can't be: a server that takes writes says so of the ID, any other of itself."""
    return client.execute_command("XADD", keys.commands, "0-0", "probe", "1")


def _unless_unable(status: dict[str, Any], error: redis.ResponseError) -> dict[str, Any]:
    if _REFUSED_ID in str(error) or isinstance(error, redis.exceptions.NoPermissionError):
        return status
    why = f"Redis takes no commands here: {error}"
    return {**status, "state": "degraded", "state_since": None, "why": why}


def _decide(published: bytes | None, verified: bytes) -> dict[str, Any] | None:
    if not published:
        return None
    status = msgspec.json.decode(published, type=dict[str, Any])
    if verified == _UNVERIFIED and status["state"] == READY:
        # Nobody knows since when.
        why = "Redis was restarted: it is compared first"
        return {**status, "state": "recovering", "state_since": None, "why": why}
    return status
