"""Connections to Redis, with the library's silent retries switched off.

redis-py repeats a command whose answer got lost, which makes one XADD two entries. What meterd
sends is either idempotent, and then the caller repeats it, or must not be repeated at all.
"""

from typing import Final

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

CONNECT_TIMEOUT_S: Final = 2.0
SOCKET_TIMEOUT_S: Final = 5.0


def connect(
    url: str,
    socket_timeout_s: float = SOCKET_TIMEOUT_S,
    connect_timeout_s: float = CONNECT_TIMEOUT_S,
) -> redis.Redis:
    """A client for threads and actors; replies are bytes."""
    return redis.Redis.from_url(
        url,
        protocol=2,
        retry=Retry(NoBackoff(), 0),
        socket_timeout=socket_timeout_s,
        socket_connect_timeout=connect_timeout_s,
    )


def connect_async(
    url: str,
    socket_timeout_s: float = SOCKET_TIMEOUT_S,
    connect_timeout_s: float = CONNECT_TIMEOUT_S,
) -> redis.asyncio.Redis:
    """A client for asyncio; replies are bytes."""
    return redis.asyncio.Redis.from_url(
        url,
        protocol=2,
        retry=AsyncRetry(NoBackoff(), 0),
        socket_timeout=socket_timeout_s,
        socket_connect_timeout=connect_timeout_s,
    )
