"""Supervises one recorder: under an epoch of its own, replaced when it dies or hangs."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

import structlog

from actors.errors import error_summary
from actors.silence import answer_in_time
from actors.supervisor.actor_handle import Timeouts
from actors.supervisor.replacement import Replacement
from actors.supervisor.starts import Starts
from actors.supervisor.tasks import end_tasks

log = structlog.get_logger()

NAME: Final = "recorder"

POLL_S: Final = 0.5
"""How often the recorder is asked for its status."""

REPLACE_PAUSE_S: Final = 0.5
STOP_S: Final = 2.0
"""How long it may take to move the rest when everything stops; what is left comes next time."""


class RecorderProcess(Protocol):
    """The process that moves outbox entries to Postgres."""

    async def run(self) -> str:
        """Work until stopped; returns why it ended."""

    async def status(self) -> dict[str, Any]:
        """How far it is."""

    async def stop(self) -> None:
        """Move what is there and end ``run``."""

    def local_pid(self) -> int | None:
        """Its process if that is known, and on this node; else None."""

    def kill(self) -> None:
        """End it at once."""


class RecorderSupervisor:
    """One recorder after the other, never two that may write."""

    def __init__(
        self,
        spawn: Callable[[], Awaitable[RecorderProcess]],
        timeouts: Timeouts,
        starts: Starts,
        name: str = NAME,
    ) -> None:
        """``spawn`` makes a process under a new epoch; it starts when ``starts`` gives the turn.

        ``name``: what the process is called in that queue, in which there may be others' recorders.
        """
        self._name = name
        self._spawn = spawn
        self._timeouts = timeouts
        self._starts = starts
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.status: dict[str, Any] = {}
        self.restarts = 0
        self.replacement = Replacement()

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name=NAME)

    async def stop(self, limit_s: float) -> None:
        """Let it move what is there for so many seconds; what is left comes in the next life."""
        self._stopping.set()
        if self._task is None:
            return
        _, late = await asyncio.wait([self._task], timeout=limit_s)
        if late and limit_s:
            log.warning("recorder.stop_timeout", note="the rest stays in Redis for next time")
        await end_tasks(self._task)
        self._starts.replaced(self._name)  # nobody will start another one

    async def _run(self) -> None:
        while not self._stopping.is_set():
            process: RecorderProcess | None = None
            try:
                process = await self._starts.run(self._name, self._start)
                await self._watch(process)
            except Exception as error:
                log.warning("recorder.lost", error=str(error)[-300:])
                self.status = {**self.status, "up": False}
                self.restarts += 1
                self.replacement.lost(error_summary(error))
                await self._pause(REPLACE_PAUSE_S)
            finally:
                if process is not None:
                    process.kill()

    async def _start(self) -> RecorderProcess:
        """A process that has answered once; one that does not is ended."""
        process = await self._spawn()
        try:
            await process.status()
        except BaseException:
            process.kill()
            raise
        return process

    async def _watch(self, process: RecorderProcess) -> None:
        """Until it ends; raises if it dies, hangs or was superseded."""
        running = asyncio.ensure_future(process.run())
        try:
            while not self._stopping.is_set() and not running.done():
                told = await answer_in_time(
                    process.status(),
                    self._timeouts.call_s,
                    process.local_pid(),
                    lambda: self._starts.may_replace(self._name),
                )
                self.status = {"up": True, **told}
                self.replacement.done()
                await self._pause(POLL_S, running)
            if not running.done():
                await process.stop()
            why = await running
        finally:
            running.cancel()
        if not self._stopping.is_set():
            raise RuntimeError(f"the recorder ended: {why}")

    async def _pause(self, seconds: float, *until: asyncio.Future[Any]) -> None:
        stopping = asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait([stopping, *until], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
