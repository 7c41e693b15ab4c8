"""Handles of Ray actors for callers that do not import Ray, with a process behind each."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import ray
import structlog
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.errors import HungError, ProcessEndedError
from actors.messages import ActorInfo
from actors.silence import answer_in_time

T = TypeVar("T")

log = structlog.get_logger()


def own_node() -> str:
    """The id of the Ray node that this process runs on."""
    node: str = ray.get_runtime_context().get_node_id()
    return node


def start_actor(actor_class: Any, node: str, *args: object) -> Any:
    """Start an actor on a node, and nowhere else: without that node it never starts.

    May wait for Ray's head, however long it is away.
    """
    place = NodeAffinitySchedulingStrategy(node, soft=False)
    return actor_class.options(scheduling_strategy=place).remote(*args)


async def in_time(answer: Awaitable[T], limit_s: float) -> T:
    """The answer of a process of which nothing else is known.

    Raises:
        HungError: there was none within so many seconds.
    """
    return await answer_in_time(answer, limit_s, None, lambda: True)


def end_process(pid: int) -> None:
    """End an actor's process on this node at once, unless it is gone."""
    if _is_ray(pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _is_ray(pid: int) -> bool:
    """Whether a process is an actor's, and not somebody else's who has its number by now."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"ray::")
    return False


class RayHandle:
    """An actor, and the process behind it as far as it is known."""

    def __init__(self, actor: Any, own: str) -> None:
        """Speak to ``actor``, a handle; ``own`` is the id of the caller's node."""
        self._actor = actor
        self._own = own
        self._info: ActorInfo | None = None

    async def info(self) -> ActorInfo:
        """Who it is; the first answer means that it is up."""
        info: ActorInfo = await self._actor.info.remote()
        self._info = info
        return info

    def local_pid(self) -> int | None:
        """Its process if that is known, and on the caller's node; else None."""
        info = self._info
        return info.pid if info is not None and info.node == self._own else None

    def kill(self) -> None:
        """End it at once. One that was stopped hears the kernel only, not Ray."""
        ray.kill(self._actor)
        pid = self.local_pid()
        if pid is not None:
            end_process(pid)


class RayRecorder(RayHandle):
    """The recorder's process as its supervisor uses it."""

    async def run(self) -> str:
        """Work until stopped; returns why it ended."""
        why: str = await self._actor.run.remote()
        return why

    async def status(self) -> dict[str, Any]:
        """How far it is."""
        if self._info is None:
            await self.info()
        status: dict[str, Any] = await self._actor.status.remote()
        return status

    async def stop(self) -> None:
        """Move what is there and end ``run``."""
        await self._actor.stop.remote()


class RayProcess(RayHandle):
    """A chat actor's process as a handle of the supervisor uses it."""

    def __init__(self, actor: Any, own: str, call_s: float, on_end: Callable[[], None]) -> None:
        """As every handle.

        Args:
            actor: the handle.
            own: the id of the caller's node.
            call_s: how long it may take to say that it is there, in seconds.
            on_end: called when it is ended.
        """
        super().__init__(actor, own)
        self._call_s = call_s
        self._on_end = on_end

    async def begin(self, name: str, epoch: str, partition: int) -> None:
        """Give it a name, and the right to write under it in a partition.

        Raises:
            HungError: it has been up, and does not answer.
        """
        if self._info is None:
            await self.info()  # a start, which has a limit of its own
        await in_time(self._actor.begin.remote(name, epoch, partition), self._call_s)

    async def check(self) -> None:
        """Raise if it is gone: by its process where that is on this node, else by a call."""
        pid = self.local_pid()
        if pid is None:
            await in_time(self.info(), self._call_s)
        elif not os.path.exists(f"/proc/{pid}"):  # noqa: PTH110 - twice a second, each actor
            raise ProcessEndedError(f"its process {pid} has ended")

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
        self._on_end()
        super().kill()


class WarmProcesses:
    """Actors that have started and have no name yet: a takeover need not wait for them."""

    def __init__(self, start: Callable[[], Awaitable[RayProcess]], start_s: float) -> None:
        """``start`` begins to start one, which may take ``start_s`` seconds."""
        self._start = start
        self._start_s = start_s
        self._ready: list[RayProcess] = []
        self._turn = asyncio.Lock()
        self._starting: set[asyncio.Task[None]] = set()

    @property
    def is_full(self) -> bool:
        """Whether some are up and no other one is starting."""
        return bool(self._ready) and not self._starting

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
            try:
                await process.check()
            except (ray.exceptions.RayError, ProcessEndedError, HungError):
                process.kill()
                continue
            return process
        return None

    async def _add(self) -> None:
        async with self._turn:
            process: RayProcess | None = None
            try:
                async with asyncio.timeout(self._start_s):
                    process = await self._start()
                    await process.info()
            except (ray.exceptions.RayError, TimeoutError) as error:
                log.warning("actor.warmup_failed", error=str(error)[-300:] or "too late")
                if process is not None:
                    process.kill()
            else:
                self._ready.append(process)
                log.info("actor.warm", ready=len(self._ready))
