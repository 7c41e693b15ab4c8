"""One actor as the supervisor sees it: a name, a process behind it, and work on its way to it.

A handle outlives its process. When the process is lost, a new one takes its place under a new
epoch, hosts the handle's chats and gets the unanswered batches again, in order: the commit function
sees to it that nothing has its effect twice.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, NamedTuple, Protocol, TypeVar

import structlog

from actors.errors import error_summary
from actors.messages import ActorInfo, pack_tasks, unpack_result
from actors.silence import answer_in_time
from actors.supervisor.batch import DispatchBatch
from actors.supervisor.replacement import Replacement
from actors.supervisor.starts import Starts
from actors.supervisor.tasks import end_tasks
from persistence.redis.client import is_server_trouble

T = TypeVar("T")

log = structlog.get_logger()

PIPELINED_MAX: Final = 2
"""Batches on their way to one actor: one at work, one waiting at its door."""

TOGETHER_MAX: Final = 1_000
"""Tasks that go to an actor in one call, if they waited for it in several batches."""

REPLACE_PAUSE_S: Final = 0.5

CHECK_S: Final = 0.5
"""How often an actor without work is looked after: its timers must not die unnoticed."""

AWAY_S_MIN: Final = 0.1
AWAY_S_MAX: Final = 2.0
"""Pauses before an actor tries again what its server could not take."""


class ActorProcess(Protocol):
    """The process behind a handle."""

    async def info(self) -> ActorInfo:
        """Who it is; the first answer means that it is up."""

    async def assign(self, chats: Mapping[str, str]) -> None:
        """Take over open chats (chat → user)."""

    async def track_timer(self, users: list[str]) -> None:
        """Keep the timers of accounts that have chats here."""

    async def unassign(self, chats: list[str]) -> None:
        """These chats live elsewhere from now on."""

    def handle(self, batch: bytes) -> Awaitable[bytes]:
        """Handle a batch; calls are worked off in the order they were made."""

    async def check(self) -> None:
        """Raise if it is gone, within a limit; called while there is no work for it."""

    def local_pid(self) -> int | None:
        """Its process if that is known, and on this node; else None."""

    def kill(self) -> None:
        """End it at once."""


class Timeouts(NamedTuple):
    """How long a process may take."""

    call_s: float = 10.0
    """For an answer, without what it waits for a CPU; then it counts as hung and is replaced."""
    start_s: float = 60.0
    """To come up."""


Spawn = Callable[[str], Awaitable[ActorProcess]]
Warm = Callable[[str], Awaitable[ActorProcess | None]]
Hosting = Callable[[str], Mapping[str, str]]


async def _none_is_warm(_name: str) -> ActorProcess | None:
    return None


class ActorHandle:
    """A named place for an actor process, with a queue in front of it."""

    def __init__(
        self,
        name: str,
        spawn: Spawn,
        hosting: Hosting,
        timeouts: Timeouts | None = None,
        may_blame: Callable[[], bool] = lambda: True,
        starts: Starts | None = None,
        warm: Warm = _none_is_warm,
    ) -> None:
        """A handle whose process is made by ``spawn`` and hosts the chats in ``hosting``.

        ``may_blame``: whether a lost process may have been lost by what it was handling. Not while
        Redis is slow: then an actor that waits for it looks hung, and no command is to blame.
        ``starts``: the queue in which its processes start.
        ``warm``: gives one that has started already, if there is one.
        """
        self.name = name
        self.info: ActorInfo | None = None
        self.restarts = 0
        self.trouble = ""
        self.replacement = Replacement()
        self._spawn = spawn
        self._warm = warm
        self._hosting = hosting
        self._timeouts = timeouts or Timeouts()
        self._starts = starts or Starts(self._timeouts.start_s)
        self._may_blame = may_blame
        self._process: ActorProcess | None = None
        self._number = 0
        self._answered = 0
        self._looked_after = 0.0
        self._away_s = AWAY_S_MIN
        self._waiting: deque[DispatchBatch] = deque()
        self._sent: deque[tuple[DispatchBatch, Awaitable[bytes]]] = deque()
        self.on_up: Callable[[], None] = lambda: None
        self._watch: set[str] = set()
        self._host: dict[str, str] = {}
        self._drop: set[str] = set()
        self._wake = asyncio.Event()
        self._up = asyncio.Event()
        self._task = asyncio.create_task(self._run(), name=f"actor {name}")

    def send(self, batch: DispatchBatch) -> None:
        """Give the actor a batch, behind those it has."""
        self._waiting.append(batch)
        self._wake.set()

    def track_timer(self, user: str) -> None:
        """Let the actor keep an account's timer."""
        self._watch.add(user)
        self._wake.set()

    def assign(self, chat: str, user: str) -> None:
        """Let the actor have an open chat from elsewhere."""
        self._host[chat] = user
        self._wake.set()

    def unassign(self, chat: str) -> None:
        """Take a chat from the actor; another one has it."""
        self._drop.add(chat)
        self._wake.set()

    def waiting(self) -> int:
        """How many batches it has not answered yet."""
        return len(self._waiting) + len(self._sent)

    async def wait_up(self) -> None:
        """Wait until the process is there."""
        await self._up.wait()

    def is_up(self) -> bool:
        """Whether the process is there."""
        return self._up.is_set()

    async def close(self) -> None:
        """End the process; what is on its way is lost here and comes again."""
        await end_tasks(self._task)
        self._starts.replaced(self.name)  # nobody will start another one
        if self._process is not None:
            self._process.kill()

    async def _run(self) -> None:
        while True:
            try:
                await self._serve()
            except Exception as error:
                self._lost(error)
                await asyncio.sleep(REPLACE_PAUSE_S)

    async def _serve(self) -> None:
        taken = await self._take_warm()
        if taken is None:
            taken = await self._starts.run(self.name, self._start)
        process, self.info = taken
        self._number = self._answered = 0
        await self._in_time(process.assign(self._hosting(self.name)))
        self._up.set()
        self.replacement.done()
        self.on_up()
        log.info("actor.ready", actor=self.name, pid=self.info.pid, restarts=self.restarts)
        while True:
            try:
                await self._turn(process)
            except Exception as error:
                if not is_server_trouble(error):
                    raise
                await self._away(process, error)

    async def _take_warm(self) -> tuple[ActorProcess, ActorInfo] | None:
        """A process that is up already, out of turn: nothing has to start."""
        process = await self._warm(self.name)
        if process is None:
            return None
        self._process = process
        self._starts.replaced(self.name)
        return process, await self._in_time(process.info())

    async def _start(self) -> tuple[ActorProcess, ActorInfo]:
        process = self._process = await self._spawn(self.name)
        return process, await process.info()

    async def _turn(self, process: ActorProcess) -> None:
        """One step: tell it what it has, give it work, take an answer or wait."""
        await self._call(process)
        self._submit(process)
        if self._sent:
            await self._take_answer()
            return
        self._wake.clear()
        if not (self._waiting or self._watch or self._host or self._drop):
            await self._idle(process)

    async def _idle(self, process: ActorProcess) -> None:
        """Wait for work; an actor that died or hangs meanwhile is replaced: it has timers."""
        try:
            # Not wait_for: until Python 3.12 that can swallow the cancellation of close().
            async with asyncio.timeout(CHECK_S):
                await self._wake.wait()
        except TimeoutError:
            await process.check()
            await self._look_after(process)

    async def _look_after(self, process: ActorProcess) -> None:
        """Now and then have an idle actor say that it is there; one that hangs can't."""
        if time.monotonic() - self._looked_after >= self._timeouts.call_s:
            await self._in_time(process.info())
            self._looked_after = time.monotonic()

    async def _in_time(self, answer: Awaitable[T]) -> T:
        pid = self._process.local_pid() if self._process else None
        return await answer_in_time(
            answer, self._timeouts.call_s, pid, lambda: self._starts.may_replace(self.name)
        )

    async def _call(self, process: ActorProcess) -> None:
        """What chats and accounts it has, before it gets more work on them."""
        if self._drop:
            drop, self._drop = self._drop, set()
            await self._in_time(process.unassign(sorted(drop)))
        if self._host:
            host, self._host = self._host, {}
            await self._in_time(process.assign(host))
        if self._watch:
            watch, self._watch = self._watch, set()
            await self._in_time(process.track_timer(sorted(watch)))

    def _submit(self, process: ActorProcess) -> None:
        most = 1 if self._waiting and self._waiting[0].losses else PIPELINED_MAX
        while self._waiting and len(self._sent) < most:
            batch = self._next_batch()
            self._number += 1
            self._sent.append((batch, process.handle(pack_tasks(self._number, batch.tasks))))

    def _next_batch(self) -> DispatchBatch:
        batch = self._waiting.popleft()
        while self._waiting:
            both = batch.with_next(self._waiting[0], TOGETHER_MAX)
            if both is None:
                return batch
            batch = both
            self._waiting.popleft()
        return batch

    async def _take_answer(self) -> None:
        batch, answer = self._sent[0]
        handled = unpack_result(await self._in_time(answer))
        self._sent.popleft()
        self._answered += 1
        self.trouble, self._away_s = "", AWAY_S_MIN
        self._looked_after = time.monotonic()
        batch.done(self.name, batch, handled)

    async def _away(self, process: ActorProcess, error: Exception) -> None:
        """The process is well, its server is not: wait, then let it try the same again.

        It is told its chats again: it may have forgotten what it could not commit.
        """
        others = (answer for _, answer in self._sent)
        await self._in_time(asyncio.gather(*others, return_exceptions=True))
        self._take_back()
        self._number = self._answered
        self._host |= self._hosting(self.name)
        if not self.trouble:
            log.warning("actor.backend_unavailable", actor=self.name, why=error_summary(error))
        self.trouble = error_summary(error)
        await asyncio.sleep(self._away_s)
        self._away_s = min(2 * self._away_s, AWAY_S_MAX)
        await process.check()

    def _take_back(self) -> None:
        """The unanswered batches wait again, in order."""
        for batch, _ in reversed(self._sent):
            self._waiting.appendleft(batch)
        self._sent.clear()

    def _lost(self, error: Exception) -> None:
        """Put the unanswered batches back, in order; a new process will get them."""
        self._up.clear()
        self.restarts += 1
        self.replacement.lost(error_summary(error))
        if self._sent and self._may_blame():
            (head, answer), *rest = self._sent
            again = head.lost_again(f"the process handling it was lost: {error_summary(error)}")
            self._sent = deque([*((batch, answer) for batch in again), *rest])
        self._take_back()
        self._watch.update(
            task.user for batch in self._waiting for task in batch.tasks if task.user
        )
        log.warning(
            "actor.lost", actor=self.name, error=error_summary(error), again=len(self._waiting)
        )
        if self._process is not None:
            self._process.kill()
            self._process = None
