"""The client for threads."""

import concurrent.futures
import os
import threading
import weakref
from collections.abc import Coroutine, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from meterd._client import Client
from meterd._core import Core
from meterd._events import EventReader
from meterd._io import (
    BLOCK_MS,
    CONNECTIONS_MAX,
    SOCKET_TIMEOUT_S,
    Arg,
    ReadReplies,
    Running,
    Step,
    bounded_options,
)
from meterd._pending import AnyReply
from meterd._records import Records
from meterd._results import ChatSnapshot, Event, Reply, Sent, WalletSnapshot
from meterd.redis_connections import connection_options
from meterd.redis_servers import ByServer, RedisServers, RedisUrls

IN_FLIGHT_MAX: Final = 5_000
"""Half of what a reply stream holds: replies that nobody waits for any more take room too."""


class Meter(Client[Reply[ChatSnapshot], Reply[WalletSnapshot], Sent, ChatSnapshot, WalletSnapshot]):
    """Commands, snapshots and events for threads; any number of them may share one client.

    Nothing is connected before the first call. A process forked later gets a reply stream and
    connections of its own.
    """

    def __init__(
        self,
        redis_url: RedisUrls,
        postgres_url: str | None = None,
        *,
        in_flight_max: int = IN_FLIGHT_MAX,
    ) -> None:
        """Name the servers; nothing is connected yet.

        Args:
            redis_url: the queue; a list, in the daemon's order, if several servers share it.
            postgres_url: where ``snapshot`` finds chats that ended more than a day ago.
            in_flight_max: commands that may wait for their replies at once.
        """
        self._servers = RedisServers(redis_url), postgres_url
        self._in_flight_max = in_flight_max
        self._lock = threading.Lock()
        self._life = self._begin()

    def events(self, after: str = "$", user_id: str | None = None) -> "Events":
        """Events in order, for ever.

        Args:
            after: the id of the last event that was read; ``$``: those from now on; ``0``: all
                that the stream still holds.
            user_id: those of one user only.

        Raises:
            EventsLostError: from the iterator: events may have left the stream unread.
            UnavailableError: from the iterator: Redis did not answer for 10 seconds.
        """
        return Events(EventReader(self._core, after, user_id))

    def close(self) -> None:
        """Let go of everything; commands that still wait for replies get NoReplyError."""
        self._life.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def _core(self) -> Core:
        if self._life.pid != os.getpid():
            with self._lock:
                if self._life.pid != os.getpid():
                    self._life = self._begin()
        return self._life.core

    def _begin(self) -> "_Life":
        life = _Life(*self._servers, self._in_flight_max)
        # The reader's thread must not outlive a client that nobody closed and nobody holds.
        weakref.finalize(self, life.close).atexit = False
        return life

    def _run(self, steps: Coroutine[Any, Any, Any]) -> Any:
        return run(steps)


class Events:
    """An endless iterator over events; ``close`` ends it, from any thread, within a second.

    ``$`` means from the first ``next`` on, or from the beginning of a ``with`` block.
    """

    def __init__(self, reader: EventReader) -> None:
        self._reader = reader

    @property
    def after(self) -> str:
        """The place up to which everything was given out: where to go on another time."""
        return self._reader.after

    def close(self) -> None:
        """End the iteration."""
        self._reader.is_closed = True

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        event = run(self._reader.next())
        if event is None:
            raise StopIteration
        assert isinstance(event, Event)
        return event

    def __enter__(self) -> Self:
        run(self._reader.begin())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def run(steps: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine of the core: with ``ThreadIo`` beneath it never suspends."""
    try:
        steps.send(None)
    except StopIteration as done:
        return done.value
    steps.close()
    raise AssertionError("a step of the core was left waiting")


class ThreadIo:
    """``meterd._io.Io`` whose methods have done their work when they return."""

    def __init__(self, servers: RedisServers, postgres_url: str | None) -> None:
        self._servers = ByServer(servers, _ThreadClients)
        self._records = Records(postgres_url) if postgres_url else None
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._readers: dict[str, threading.Thread] = {}

    async def call(self, partition: int, *command: Arg) -> Any:
        return self._at(partition).commands.execute_command(*command)

    async def block(self, partition: int, *command: Arg) -> Any:
        return self._at(partition).streams.execute_command(*command)

    async def atomic(self, partition: int, *commands: tuple[Arg, ...]) -> list[Any]:
        with self._at(partition).streams.pipeline(transaction=True) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            results: list[Any] = pipeline.execute(raise_on_error=False)
            return results

    async def each(self, calls: Sequence[Step]) -> list[Any]:
        return [_result_of(call) for call in calls]

    async def first(self, steps: Mapping[str, Step], running: Running, timeout_s: float) -> None:
        for name, step in steps.items():
            if name not in running:
                running[name] = _started(step)
        concurrent.futures.wait(running.values(), timeout_s, concurrent.futures.FIRST_COMPLETED)
        for name in [name for name, future in running.items() if future.done()]:
            del running[name]

    async def record(self, chat_id: str) -> ChatSnapshot | None:
        return self._records.fetch(chat_id) if self._records else None

    async def sleep(self, seconds: float) -> None:
        self._stopped.wait(seconds)

    async def wait(self, flag: threading.Event) -> None:
        flag.wait()

    async def enter(self, handles: threading.Semaphore, timeout_s: float) -> bool:
        return handles.acquire(timeout=max(0.0, timeout_s))

    async def result(
        self, future: "concurrent.futures.Future[AnyReply]", timeout_s: float
    ) -> AnyReply:
        return future.result(timeout_s)

    def future(self) -> "concurrent.futures.Future[AnyReply]":
        return concurrent.futures.Future()

    def flag(self) -> threading.Event:
        return threading.Event()

    def handles(self, number: int) -> threading.Semaphore:
        return threading.Semaphore(number)

    def serve(self, name: str, read_replies: ReadReplies) -> None:
        if name in self._readers:
            return
        with self._lock:
            if name in self._readers or self._stopped.is_set():
                return
            self._readers[name] = threading.Thread(
                target=lambda: run(read_replies()), name="meterd-replies", daemon=True
            )
            self._readers[name].start()

    def close(self) -> None:
        """After the core was closed: end the readers, then the connections."""
        self._stopped.set()
        with self._lock:
            readers, self._readers = self._readers, {}
        self._disconnect()  # wakes who is blocked in a read
        for reader in readers.values():
            if reader is not threading.current_thread():
                reader.join(BLOCK_MS / 1000 + SOCKET_TIMEOUT_S)
        self._disconnect()  # a reader may just have made a new one
        if self._records is not None:
            self._records.close()

    def _disconnect(self) -> None:
        for clients in self._servers.made():
            clients.streams.connection_pool.disconnect()
            clients.commands.connection_pool.disconnect()

    def _at(self, partition: int) -> "_ThreadClients":
        return self._servers.of(partition)


class _ThreadClients:
    """The clients of one server: for commands, and for what waits in Redis."""

    def __init__(self, url: str) -> None:
        options = bounded_options(connection_options(url), Retry(NoBackoff(), 0))
        commands = redis.BlockingConnectionPool(  # type: ignore[no-untyped-call]
            **{**options, "max_connections": CONNECTIONS_MAX, "timeout": SOCKET_TIMEOUT_S}
        )
        # Any: redis-py gives execute_command no types.
        self.commands: Any = redis.Redis.from_pool(commands)
        self.streams: Any = redis.Redis.from_pool(redis.ConnectionPool(**options))


def _result_of(step: Step) -> Any:
    try:
        return run(step())
    except Exception as error:  # whoever asked looks at it
        return error


def _started(step: Step) -> "concurrent.futures.Future[None]":
    """The step in a thread of its own; what it raises is of no matter."""
    future: concurrent.futures.Future[None] = concurrent.futures.Future()

    def work() -> None:
        _result_of(step)
        future.set_result(None)

    threading.Thread(target=work, name="meterd-events", daemon=True).start()
    return future


class _Life:
    """What one process has of a client: a reply stream, and connections."""

    def __init__(self, servers: RedisServers, postgres_url: str | None, in_flight_max: int) -> None:
        self.pid = os.getpid()
        self._io = ThreadIo(servers, postgres_url)
        self.core = Core(self._io, servers, in_flight_max)

    def close(self) -> None:
        self.core.close()
        self._io.close()
