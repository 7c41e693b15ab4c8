"""Clients of Redis, with the library's silent retries switched off.

redis-py repeats a command whose answer got lost, which makes one XADD two entries. What meterd
sends is either idempotent, and then the caller repeats it, or must not be repeated at all.
"""

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from meterd.redis_connections import connection_options, connection_options_async
from meterd.redis_servers import ByServer, RedisServers
from meterd.rules.redis_keys import partition_of_key

CONNECT_TIMEOUT_S: Final = 2.0
SOCKET_TIMEOUT_S: Final = 5.0

SERVER_TROUBLE: Final = (
    "OOM",
    "READONLY",
    "LOADING",
    "MASTERDOWN",
    "NOREPLICAS",
    "MISCONF",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "BUSY",
    "NOAUTH",
    "NOPERM",
    "WRONGPASS",
    "UNKILLABLE",
    "FUNCTION NOT FOUND",
)
"""What a server says that can't do it now, whatever was asked (read-only, full, loading …)."""


def is_server_trouble(error: BaseException) -> bool:
    """Whether the server is away or unable, rather than the request wrong.

    Then the same request may pass later, and nothing of it has been done, or it can't be known.
    """
    error = getattr(error, "cause", None) or error  # as Ray wraps what a call raised
    if isinstance(error, redis.ResponseError):
        words = str(error).upper().removeprefix("ERR ").removeprefix("-")
        return words.startswith(SERVER_TROUBLE) or type(error) is not redis.ResponseError
    return isinstance(error, redis.RedisError)


def connect(
    url: str,
    socket_timeout_s: float = SOCKET_TIMEOUT_S,
    connect_timeout_s: float = CONNECT_TIMEOUT_S,
) -> redis.Redis:
    """A client for threads and actors; replies are bytes."""
    pool = redis.ConnectionPool(
        **{
            **connection_options(url),
            "protocol": 2,
            "retry": Retry(NoBackoff(), 0),
            "socket_timeout": socket_timeout_s,
            "socket_connect_timeout": connect_timeout_s,
        }
    )
    return redis.Redis.from_pool(pool)


def connect_async(
    url: str,
    socket_timeout_s: float = SOCKET_TIMEOUT_S,
    connect_timeout_s: float = CONNECT_TIMEOUT_S,
) -> redis.asyncio.Redis:
    """A client for asyncio; replies are bytes."""
    pool = redis.asyncio.ConnectionPool(
        **{
            **connection_options_async(url),
            "protocol": 2,
            "retry": AsyncRetry(NoBackoff(), 0),
            "socket_timeout": socket_timeout_s,
            "socket_connect_timeout": connect_timeout_s,
        }
    )
    return redis.asyncio.Redis.from_pool(pool)


def check_url(url: str) -> None:
    """Refuse a URL that no connection can be made with; nothing connects.

    Raises:
        ValueError: why, and the form that is wanted; nothing of the URL, which may hold a password.
    """
    try:
        for pool in (connect(url).connection_pool, connect_async(url).connection_pool):
            pool.make_connection()
    except (TypeError, KeyError, redis.RedisError):
        raise ValueError("want after the ? only options that redis-py has") from None
    # redis-py leaves out what it can't read here, and takes database 0.
    parts, options = urlsplit(url), connection_options(url)
    is_path_read = parts.scheme not in ("redis", "rediss") or "db" in options
    if parts.fragment or not (is_path_read or parts.path in ("", "/")):
        raise ValueError("want a number as database after the host, and a # in a password as %23")


class RedisClients(ByServer[redis.Redis]):
    """Clients for threads, one for each server; each connects when it is first used."""

    def __init__(self, servers: RedisServers, socket_timeout_s: float = SOCKET_TIMEOUT_S) -> None:
        """Nothing is connected yet."""
        super().__init__(servers, lambda url: connect(url, socket_timeout_s))

    def mget(self, names: Sequence[str]) -> list[bytes | None]:
        """The values of keys of any partitions, in their order; one round trip to each server."""
        found: list[bytes | None] = [None] * len(names)
        for url, places in self.split(map(partition_of_key, names)).items():
            values: Any = self.at(url).mget([names[place] for place in places])
            for place, value in zip(places, values, strict=True):
                found[place] = value
        return found

    def close(self) -> None:
        """Let go of all connections."""
        for client in self.made():
            client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def queue_ms(clients: RedisClients) -> int:
    """The clock of the first of the servers that answers.

    Raises:
        redis.RedisError: none does; this is what the first one says.
    """
    failures: list[redis.RedisError] = []
    for number in range(len(clients.servers.urls)):
        try:
            seconds, micros = clients.of(number).time()
        except redis.RedisError as error:
            failures.append(error)
        else:
            return int(seconds) * 1_000 + int(micros) // 1_000
    raise failures[0]


class AsyncRedisClients(ByServer[redis.asyncio.Redis]):
    """The same for asyncio."""

    def __init__(self, servers: RedisServers, socket_timeout_s: float = SOCKET_TIMEOUT_S) -> None:
        """Nothing is connected yet."""
        super().__init__(servers, lambda url: connect_async(url, socket_timeout_s))

    async def aclose(self) -> None:
        """Let go of all connections."""
        for client in self.made():
            await client.aclose()
