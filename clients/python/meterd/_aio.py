"""The client for asyncio."""

import asyncio
import contextlib
from collections.abc import Coroutine, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeAlias, TypeVar

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from meterd._client import Client
from meterd._core import Core
from meterd._errors import MeterError
from meterd._events import EventReader
from meterd._io import (
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
from meterd._threads import IN_FLIGHT_MAX
from meterd.redis_connections import connection_options_async
from meterd.redis_servers import ByServer, RedisServers, RedisUrls

T = TypeVar("T")
Later: TypeAlias = Coroutine[Any, Any, T]


class AsyncMeter(
    Client[
        Later[Reply[ChatSnapshot]],
        Later[Reply[WalletSnapshot]],
        Later[Sent],
        Later[ChatSnapshot],
        Later[WalletSnapshot],
    ]
):
    """Commands, snapshots and events for asyncio; any number of tasks may share one client.

    One client for each event loop: it belongs to the loop that first uses it. Nothing is
    connected before the first call.
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
        servers = RedisServers(redis_url)
        self._io = _TaskIo(servers, postgres_url)
        self._life = Core(self._io, servers, in_flight_max)

    def events(self, after: str = "$", user_id: str | None = None) -> "AsyncEvents":
        """Events in order, for ever.

        Args:
            after: the id of the last event that was read; ``$``: those from now on; ``0``: all
                that the stream still holds.
            user_id: those of one user only.

        Raises:
            EventsLostError: from the iterator: events may have left the stream unread.
            UnavailableError: from the iterator: Redis did not answer for 10 seconds.
        """
        return AsyncEvents(EventReader(self._core, after, user_id))

    async def close(self) -> None:
        """Let go of everything; commands that still wait for replies get NoReplyError."""
        self._core.close()
        await self._io.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    @property
    def _core(self) -> Core:
        return self._life

    async def _run(self, steps: Coroutine[Any, Any, T]) -> T:
        with contextlib.closing(steps):
            self._io.check_loop()
            return await steps


class AsyncEvents:
    """An endless asynchronous iterator over events; ``close`` ends it within a second.

    ``$`` means from the first event asked for, or from the beginning of an ``async with`` block.
    """

    def __init__(self, reader: EventReader) -> None:
        self._reader = reader

    @property
    def after(self) -> str:
        """The place up to which everything was given out: where to go on another time."""
        return self._reader.after

    async def batch(self, timeout_s: float | None = None) -> list[Event]:
        """The next events, as many as have come: for readers that follow everything.

        Empty once closed, or if none has come within ``timeout_s``; ``after`` says where to go on.
        """
        return await self._reader.batch(timeout_s)

    def close(self) -> None:
        """End the iteration."""
        self._reader.is_closed = True

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        event = await self._reader.next()
        if event is None:
            raise StopAsyncIteration
        return event

    async def __aenter__(self) -> Self:
        await self._reader.begin()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class _TaskIo:
    """``meterd._io.Io`` for tasks of one event loop."""

    def __init__(self, servers: RedisServers, postgres_url: str | None) -> None:
        self._servers = ByServer(servers, _TaskClients)
        self._records = Records(postgres_url) if postgres_url else None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._readers: dict[str, asyncio.Task[None]] = {}
        self._waits: set[asyncio.Task[Any]] = set()

    def serve(self, name: str, read_replies: ReadReplies) -> None:
        if name not in self._readers:
            self._readers[name] = asyncio.create_task(read_replies(), name="meterd-replies")

    def check_loop(self) -> None:
        loop = asyncio.get_running_loop()
        self._loop = self._loop or loop
        if self._loop is not loop:
            raise MeterError("this client belongs to another event loop; make one for each")

    async def call(self, partition: int, *command: Arg) -> Any:
        return await self._servers.of(partition).commands.execute_command(*command)

    async def block(self, partition: int, *command: Arg) -> Any:
        return await self._servers.of(partition).streams.execute_command(*command)

    async def atomic(self, partition: int, *commands: tuple[Arg, ...]) -> list[Any]:
        async with self._servers.of(partition).streams.pipeline(transaction=True) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            results: list[Any] = await pipeline.execute(raise_on_error=False)
            return results

    async def each(self, calls: Sequence[Step]) -> list[Any]:
        return list(await asyncio.gather(*(call() for call in calls), return_exceptions=True))

    async def first(self, steps: Mapping[str, Step], running: Running, timeout_s: float) -> None:
        for name, step in steps.items():
            if name not in running:
                running[name] = task = asyncio.create_task(_quiet(step), name="meterd-events")
                self._waits.add(task)
                task.add_done_callback(self._waits.discard)
        await asyncio.wait(running.values(), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        for name in [name for name, task in running.items() if task.done()]:
            del running[name]

    async def record(self, chat_id: str) -> ChatSnapshot | None:
        if self._records is None:
            return None
        return await asyncio.to_thread(self._records.fetch, chat_id)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def wait(self, flag: asyncio.Event) -> None:
        await flag.wait()

    async def enter(self, handles: asyncio.Semaphore, timeout_s: float) -> bool:
        try:
            async with asyncio.timeout(timeout_s):
                return await handles.acquire()
        except TimeoutError:
            return False

    async def result(self, future: "asyncio.Future[AnyReply]", timeout_s: float) -> AnyReply:
        async with asyncio.timeout(timeout_s):
            return await future

    def future(self) -> "asyncio.Future[AnyReply]":
        future: asyncio.Future[AnyReply] = asyncio.get_running_loop().create_future()
        # A command that fails before it waits for its reply leaves an error nobody asks for.
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        return future

    def flag(self) -> asyncio.Event:
        return asyncio.Event()

    def handles(self, number: int) -> asyncio.Semaphore:
        return asyncio.Semaphore(number)

    async def close(self) -> None:
        tasks = [*self._readers.values(), *self._waits]
        self._readers = {}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for clients in self._servers.made():
            await clients.commands.connection_pool.aclose()
            await clients.streams.connection_pool.aclose()
        if self._records is not None:
            self._records.close()


class _TaskClients:
    """The clients of one server: for commands, and for what waits in Redis."""

    def __init__(self, url: str) -> None:
        options = bounded_options(connection_options_async(url), Retry(NoBackoff(), 0))
        commands = redis.asyncio.BlockingConnectionPool(
            **{**options, "max_connections": CONNECTIONS_MAX, "timeout": SOCKET_TIMEOUT_S}
        )
        # Any: redis-py gives execute_command no types.
        self.commands: Any = redis.asyncio.Redis.from_pool(commands)
        self.streams: Any = redis.asyncio.Redis.from_pool(redis.asyncio.ConnectionPool(**options))


async def _quiet(step: Step) -> None:
    with contextlib.suppress(Exception):  # it only waits; whoever asks next is told
        await step()
