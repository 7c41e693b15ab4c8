"""Connections to the Redis that takes writes, whatever the URL names and whatever becomes of it.

Three things that redis-py leaves to its users. A server that was demoted and stays up keeps its
connections, and refuses every write on them: after one such answer all connections of the pool are
replaced, so that an address that has moved is found. And a URL may name Sentinels or nodes of a
cluster, which are asked for the master at each connect. And under uvloop a write to a connection
that was cut raises RuntimeError, which no reader of redis-py's errors expects.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

import redis
import redis.asyncio
from redis.asyncio.connection import parse_url as parse_url_async
from redis.connection import parse_url

from meterd.cluster_nodes import ASK_TIMEOUT_S, QUESTION, ClusterNodes
from meterd.cluster_url import is_cluster, parse_cluster_url, slot_of
from meterd.sentinel_url import WANT_ENCODED, Address, is_sentinel, parse_sentinel_url

UNABLE: Final = (
    redis.ReadOnlyError,
    redis.exceptions.MasterDownError,
    redis.BusyLoadingError,
    redis.exceptions.AskError,  # MOVED is one, too
    redis.exceptions.ClusterDownError,
)
"""Answers of a server that is not, or not yet, the one to write to."""

_WANT: Final = "want redis://user:password@host:6379/0"

_ASKING: Final[dict[str, Any]] = {
    "socket_timeout": ASK_TIMEOUT_S,
    "socket_connect_timeout": ASK_TIMEOUT_S,
    "protocol": 2,
}
"""Of a connection that only asks where the master is."""


class Generation:
    """Counts how often a pool's server was found to be the wrong one."""

    def __init__(self) -> None:
        """None so far."""
        self.number = 0


def connection_options(url: str) -> dict[str, Any]:
    """The options of a pool for threads, its connection class among them.

    Raises:
        ValueError: the URL can't be one; the message says why, without the password.
    """
    found = _master_of(url)
    if found is None:
        options = _server_options(parse_url, url)
        base = options.get("connection_class", redis.Connection)
        return {**options, "connection_class": _THREADS[base], "generation": Generation()}
    base = redis.SSLConnection if found.is_tls else redis.Connection
    return {
        **found.options,
        "connection_class": _THREADS[base],
        "generation": Generation(),
        "find_master": found.finder(),
    }


def connection_options_async(url: str) -> dict[str, Any]:
    """The options of a pool for asyncio; as ``connection_options``."""
    found = _master_of(url)
    if found is None:
        options = _server_options(parse_url_async, url)
        base = options.get("connection_class", redis.asyncio.Connection)
        return {**options, "connection_class": _TASKS[base], "generation": Generation()}
    base = redis.asyncio.SSLConnection if found.is_tls else redis.asyncio.Connection
    return {
        **found.options,
        "connection_class": _TASKS[base],
        "generation": Generation(),
        "find_master": found.finder_async(),
    }


def _server_options(parse: Callable[[str], Any], url: str) -> dict[str, Any]:
    """What redis-py reads from a URL that has the server's own address."""
    try:
        options = dict(parse(url))
    except ValueError:
        # From None: the cause quotes a part of the URL, in which a password may stand.
        raise ValueError(f"{_WANT}, {WANT_ENCODED}") from None
    if "," in options.get("host", ""):
        raise ValueError(f"{_WANT}, one host; only Sentinels and nodes of a cluster are several")
    if url.startswith("unix:") and "path" not in options:
        raise ValueError("want unix:///path/of/the/socket")
    return options


class _Master(Protocol):
    """A master whose address others know: what is connected with, and who finds it."""

    options: dict[str, Any]
    is_tls: bool

    def finder(self) -> Callable[[], Address]: ...

    def finder_async(self) -> Callable[[], Awaitable[Address]]: ...


def _master_of(url: str) -> _Master | None:
    """The master that a URL is about; None if it is at the URL's own address."""
    if is_sentinel(url):
        return _SentinelsMaster(url)
    return _SlotMaster(url) if is_cluster(url) else None


class _SentinelsMaster:
    """The one that Sentinels name."""

    def __init__(self, url: str) -> None:
        self._parts = parse_sentinel_url(url)
        self.options = self._parts.options
        self.is_tls = url.startswith("rediss")

    def finder(self) -> Callable[[], Address]:
        parts = self._parts
        sentinels: Any = redis.Sentinel(parts.hosts, sentinel_kwargs=parts.sentinel_options)  # type: ignore[no-untyped-call]
        return lambda: sentinels.discover_master(parts.service)

    def finder_async(self) -> Callable[[], Awaitable[Address]]:
        parts = self._parts
        sentinels: Any = redis.asyncio.Sentinel(  # type: ignore[no-untyped-call]
            parts.hosts, sentinel_kwargs=parts.sentinel_options
        )
        return lambda: sentinels.discover_master(parts.service)


class _SlotMaster:
    """The one that has a partition's slot in a cluster."""

    def __init__(self, url: str) -> None:
        parts = parse_cluster_url(url)
        self._nodes = ClusterNodes(parts.hosts, slot_of(parts.partition))
        self.options = parts.options
        self.is_tls = parts.is_tls

    def finder(self) -> Callable[[], Address]:
        return lambda: self._nodes.find(self._ask)

    def finder_async(self) -> Callable[[], Awaitable[Address]]:
        return lambda: self._nodes.find_async(self._ask_async)

    def _ask(self, node: Address) -> Any:
        base: Any = redis.SSLConnection if self.is_tls else redis.Connection
        connection = base(host=node[0], port=node[1], **self.options, **_ASKING)
        try:
            connection.connect()
            connection.send_command(*QUESTION)
            return connection.read_response()
        finally:
            connection.disconnect()

    async def _ask_async(self, node: Address) -> Any:
        base: Any = redis.asyncio.SSLConnection if self.is_tls else redis.asyncio.Connection
        connection = base(host=node[0], port=node[1], **self.options, **_ASKING)
        try:
            await connection.connect()
            await connection.send_command(*QUESTION)
            return await connection.read_response()
        finally:
            await connection.disconnect()


class _Writable:
    """A connection of threads that finds its master again when its server can't be it."""

    def __init__(
        self,
        *args: Any,
        generation: Generation,
        find_master: Callable[[], Address] | None = None,
        **options: Any,
    ) -> None:
        self._generation = generation
        self._made_in = generation.number
        self._find_master = find_master
        super().__init__(*args, **options)

    def connect(self, *args: Any, **options: Any) -> Any:
        base: Any = super()
        if self._made_in != self._generation.number:
            base.disconnect()
        return base.connect(*args, **options)

    def _connect(self) -> Any:
        base: Any = super()
        self._made_in = self._generation.number
        if self._find_master is not None:
            self.host, self.port = self._find_master()
        return base._connect()

    def read_response(self, *args: Any, **options: Any) -> Any:
        base: Any = super()
        try:
            return base.read_response(*args, **options)
        except UNABLE:
            self._note_unable()
            raise

    def _note_unable(self) -> None:
        # Once for all connections that were made before: those made since are no worse for it.
        if self._made_in == self._generation.number:
            self._generation.number += 1


class _WritableAsync:
    """The same for asyncio."""

    def __init__(
        self,
        *args: Any,
        generation: Generation,
        find_master: Callable[[], Awaitable[Address]] | None = None,
        **options: Any,
    ) -> None:
        self._generation = generation
        self._made_in = generation.number
        self._find_master = find_master
        super().__init__(*args, **options)

    async def connect(self, *args: Any, **options: Any) -> Any:
        base: Any = super()
        if self._made_in != self._generation.number:
            await base.disconnect()
        return await base.connect(*args, **options)

    async def _connect(self) -> Any:
        base: Any = super()
        self._made_in = self._generation.number
        if self._find_master is not None:
            self.host, self.port = await self._find_master()
        return await base._connect()

    async def read_response(self, *args: Any, **options: Any) -> Any:
        base: Any = super()
        try:
            return await base.read_response(*args, **options)
        except UNABLE:
            if self._made_in == self._generation.number:
                self._generation.number += 1
            raise

    async def send_packed_command(self, *args: Any, **options: Any) -> None:
        base: Any = super()
        try:
            await base.send_packed_command(*args, **options)
        except RuntimeError as error:
            # uvloop raises this for a connection that was cut a moment ago; asyncio an OSError.
            raise redis.ConnectionError(f"connection lost: {error}") from error


class _Tcp(_Writable, redis.Connection):
    """Over TCP."""


class _Tls(_Writable, redis.SSLConnection):
    """Over TLS."""


class _Unix(_Writable, redis.UnixDomainSocketConnection):
    """Over a Unix socket."""


class _AsyncTcp(_WritableAsync, redis.asyncio.Connection):
    """Over TCP."""


class _AsyncTls(_WritableAsync, redis.asyncio.SSLConnection):
    """Over TLS."""


class _AsyncUnix(_WritableAsync, redis.asyncio.UnixDomainSocketConnection):
    """Over a Unix socket."""


_THREADS: Final[dict[Any, Any]] = {
    redis.Connection: _Tcp,
    redis.SSLConnection: _Tls,
    redis.UnixDomainSocketConnection: _Unix,
}
_TASKS: Final[dict[Any, Any]] = {
    redis.asyncio.Connection: _AsyncTcp,
    redis.asyncio.SSLConnection: _AsyncTls,
    redis.asyncio.UnixDomainSocketConnection: _AsyncUnix,
}
