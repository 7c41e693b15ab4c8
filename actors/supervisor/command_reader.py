"""Reads commands of the queue for the dispatcher, while it may decide about them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import redis
import structlog

from actors.errors import error_summary
from actors.supervisor.clock_monitor import ClockMonitor, steady_ms
from actors.supervisor.dispatch import Dispatcher
from actors.supervisor.gauges import OutboxBound
from actors.supervisor.recovery import retry_until_ok
from persistence.redis.command_stream import CommandStream, ReadBatch, ReadNotice

log = structlog.get_logger()

RETRY_PAUSE_S: Final = 0.5
HELD_PAUSE_S: Final = 0.2
GATHER_S: Final = 0.006
GATHER_ENTRIES_MIN: Final = 4
"""How long commands gather after so many came at once: more of them share a read and the Ray calls.

Each read makes a Ray call for every actor that has commands in it, and those cost more than what
is in them. Where there is little to do, nobody waits (docs/performance.md).
"""


class CommandReader:
    """Gives the dispatcher what is in the queue: what an earlier life left, then what is new."""

    def __init__(
        self,
        queue: CommandStream,
        dispatcher: Dispatcher,
        clock: ClockMonitor,
        outbox: OutboxBound,
        *,
        batch_max: int,
        block_ms: int,
    ) -> None:
        """Nothing is read before ``finish_pending`` and ``read_on``.

        ``batch_max``: entries of a read.
        ``block_ms``: how long to wait for one where there is none.
        """
        self._queue = queue
        self._dispatcher = dispatcher
        self._clock = clock
        self._outbox = outbox
        self._batch_max = batch_max
        self._block_ms = block_ms
        self.error = ""
        """Why the last read failed; empty if it did not."""

    async def finish_pending(self) -> None:
        """Dispatch what was delivered and has no effect yet; returns when all of it has."""
        after = "0"
        while True:
            batch = await retry_until_ok(lambda after=after: self._pending(after))  # type: ignore[misc]
            if batch.notice is ReadNotice.CLAIMED:
                await self._dispatcher.drain()
                after = "0"
                continue
            if not batch.entries:
                break
            after = batch.entries[-1].entry
            await self._wait_until_clear()
            await self._dispatcher.dispatch(batch.entries)
            await self._dispatcher.wait_for_capacity()
        await self._dispatcher.drain()

    async def _pending(self, after: str) -> ReadBatch:
        return await self._queue.pending(after, self._batch_max)

    async def read_on(
        self, pause: Callable[[float], Awaitable[None]], is_stopping: Callable[[], bool]
    ) -> None:
        """Read and dispatch what is new, until told to stop; if Redis fails, try again."""
        while not is_stopping():
            try:
                await self._wait_until_clear()
                await self._dispatcher.wait_for_capacity()
                await self._read_once()
                self.error = ""
            except redis.RedisError as error:
                self.error = error_summary(error)
                log.warning("supervisor.waits", why=error_summary(error))
                await pause(RETRY_PAUSE_S)

    async def _read_once(self) -> None:
        before = steady_ms()
        delivery = await self._queue.new(self._batch_max)
        self._clock.observe(delivery.now_ms, before)
        if delivery.notice:
            await self._act_on(delivery)
        elif not delivery.entries:
            await self._queue.wait(self._block_ms)
        if not delivery.entries:
            return
        await self._wait_until_clear()
        await self._dispatcher.dispatch(delivery.entries)
        if GATHER_ENTRIES_MIN <= len(delivery.entries) < self._batch_max:
            await asyncio.sleep(GATHER_S)

    async def _act_on(self, batch: ReadBatch) -> None:
        """Say what a read found wrong with the stream, and take in what it has put right."""
        log.warning("queue.disturbed", what=batch.notice.value, entries=batch.number)
        if batch.notice is ReadNotice.CLAIMED:
            await self._dispatcher.drain()
            await self.finish_pending()
        if batch.notice is ReadNotice.AHEAD:
            await self._clock.sync()

    async def _wait_until_clear(self) -> None:
        """Wait while nothing may be decided: the clock has stepped, or too much waits already.

        Whoever is told to stop meanwhile is cancelled in here: what was read comes again in the
        next life.
        """
        while self._clock.why or self._outbox.is_overflowing():
            await asyncio.sleep(HELD_PAUSE_S)
