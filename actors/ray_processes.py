"""Handles of Ray actors for callers that do not import Ray, with a process behind each."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import ray
import structlog

from actors.messages import ActorInfo

log = structlog.get_logger()


def start_actor(actor_class: Any, *args: object) -> Any:
    """Start an actor; Ray gives its classes a ``remote`` that type checkers don't know of."""
    return actor_class.remote(*args)


def _end(actor: Any, known: ActorInfo | None) -> None:
    """End an actor's process at once. One that was stopped hears the kernel only, not Ray."""
    ray.kill(actor)
    pid = known.local_pid() if known is not None else None
    if pid is not None and _is_ray(pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _is_ray(pid: int) -> bool:
    """Whether a process is an actor's, and not somebody else's who has its number by now."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"ray::")
    return False


class RayRecorder:
    """The recorder's process as its supervisor uses it."""

    def __init__(self, actor: Any) -> None:
        """Speak to ``actor``, a handle."""
        self._actor = actor
        self._info: ActorInfo | None = None

    async def run(self) -> str:
        """Work until stopped; returns why it ended."""
        why: str = await self._actor.run.remote()
        return why

    async def status(self) -> dict[str, Any]:
        """How far it is."""
        if self._info is None:
            self._info = await self._actor.info.remote()
        status: dict[str, Any] = await self._actor.status.remote()
        return status

    async def stop(self) -> None:
        """Move what is there and end ``run``."""
        await self._actor.stop.remote()

    def local_pid(self) -> int | None:
        """Its process if that is known, and on this machine; else None."""
        return self._info.local_pid() if self._info else None

    def kill(self) -> None:
        """End it at once."""
        _end(self._actor, self._info)


class RayProcess:
    """A chat actor's process as a slot of the supervisor uses it."""

    def __init__(self, actor: Any) -> None:
        """Speak to ``actor``, a handle."""
        self._actor = actor
        self._info: ActorInfo | None = None

    async def begin(self, name: str, epoch: str) -> None:
        """Give it a name, and the right to write under it."""
        await self._actor.begin.remote(name, epoch)

    async def info(self) -> ActorInfo:
        """Who it is; the first answer means that it is up."""
        info: ActorInfo = await self._actor.info.remote()
        self._info = info
        return info

    async def check(self) -> None:
        """Raise if it is gone: by its process where that is on this machine, else by a call."""
        pid = self._info.local_pid() if self._info else None
        if pid is None:
            await self.info()
        elif not os.path.exists(f"/proc/{pid}"):  # noqa: PTH110 - twice a second, each actor
            raise ProcessLookupError(f"process {pid} has ended")

    async def assign(self, chats: Mapping[str, str]) -> None:
        """Take over open chats."""
        await self._actor.assign.remote(dict(chats))

    async def track_timer(self, users: list[str]) -> None:
        """Keep the timers of accounts."""
        await self._actor.track_timer.remote(users)

    async def unassign(self, chats: list[str]) -> None:
        """Take chats from it."""
        await self._actor.unassign.remote(chats)

    def handle(self, batch: bytes) -> Awaitable[bytes]:
        """Submit a batch; Ray keeps the order of one caller's calls."""
        answer: Awaitable[bytes] = self._actor.handle.remote(batch)
        return answer

    def kill(self) -> None:
        """End it at once."""
        _end(self._actor, self._info)


class WarmProcesses:
    """Actors that have started and have no name yet: a takeover need not wait for them."""

    def __init__(self, start: Callable[[], RayProcess]) -> None:
        """``start`` begins to start one."""
        self._start = start
        self._ready: list[RayProcess] = []
        self._turn = asyncio.Lock()
        self._starting: set[asyncio.Task[None]] = set()

    def fill(self, wanted: int) -> None:
        """Begin to start as many as are missing, one at a time."""
        for _ in range(wanted - len(self._ready) - len(self._starting)):
            task = asyncio.create_task(self._add())
            self._starting.add(task)
            task.add_done_callback(self._starting.discard)

    async def acquire(self) -> RayProcess | None:
        """One that is up; None if there is none."""
        while self._ready:
            process = self._ready.pop()
            with contextlib.suppress(ray.exceptions.RayError, ProcessLookupError):
                await process.check()
                return process
        return None

    async def _add(self) -> None:
        async with self._turn:
            process = self._start()
            try:
                await process.info()
            except ray.exceptions.RayError as error:
                log.warning("actor.warmup_failed", error=str(error)[-300:])
            else:
                self._ready.append(process)
