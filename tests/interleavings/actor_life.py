"""A chat actor's process: a real worker and a real timekeeper, each on a stepped thread."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

import redis

from actors.chat.commit_builder import CommitContext
from actors.chat.timer_service import SettleSender, TimerService
from actors.chat.worker import ChatWorker
from actors.errors import HungError
from actors.messages import ActorInfo, pack_result, unpack_tasks
from meterd.rules.model import Policy
from meterd.rules.redis_keys import Keys
from persistence.redis.commit import Limits
from tests.interleavings.invariant_monitor import Clock
from tests.interleavings.stepped_threads import SteppedClient, SteppedThread

KEYS = Keys()
POLICY_ID = "played"

Work = tuple[Callable[[], Any], "asyncio.Future[Any]"]


class ActorLife:
    """A process as the supervisor sees it; whatever it does waits for the play."""

    def __init__(self, name: str, epoch: str, policy: Policy, clock: Clock, skew_ms: int) -> None:
        client = cast("redis.Redis", SteppedClient())
        asker = SettleSender(client, KEYS, name, epoch)
        writer = CommitContext(name, epoch, policy, POLICY_ID, Limits())
        self.name, self.epoch = name, epoch
        self.timekeeper = TimerService(asker.send_settle, self._now_ms)
        self.worker = ChatWorker(client, KEYS, writer, self.timekeeper)
        self.hand, self.watchman = SteppedThread(), SteppedThread()
        self.is_dead = False
        self.is_hung = False
        self.note: Callable[[str], None] = lambda _: None
        self._clock = clock
        self._skew_ms = skew_ms
        self._inbox: deque[Work] = deque()
        self._at_work: list[asyncio.Future[Any]] = []

    async def info(self) -> ActorInfo:
        return ActorInfo(0, "here")

    def local_pid(self) -> int | None:
        return None

    async def assign(self, chats: Mapping[str, str]) -> None:
        await self._call(lambda: self.worker.assign(dict(chats)))

    async def track_timer(self, users: list[str]) -> None:
        await self._call(lambda: self.worker.track_timer(users))

    async def unassign(self, chats: list[str]) -> None:
        self.note("drop")
        await self._call(lambda: self.worker.unassign(chats))

    def handle(self, batch: bytes) -> Awaitable[bytes]:
        return self._call(lambda: pack_result(self.worker.handle(*unpack_tasks(batch))))

    async def check(self) -> None:
        if self.is_dead:
            raise ProcessLookupError(self.name)

    def kill(self) -> None:
        """What is hung is out of reach: it goes on one day."""
        if not self.is_hung:
            self.crash()

    def crash(self) -> None:
        """It is gone, wherever it was."""
        self.is_dead = True
        self.hand.kill()
        self.watchman.kill()
        self._fail(ProcessLookupError(self.name))

    def hang(self) -> None:
        """It stays where it is; the supervisor gives it up."""
        self.is_hung = True
        self._fail(HungError(self.name))

    def may_begin(self) -> bool:
        """Whether it could take up its next work."""
        return bool(self._inbox) and self.hand.is_at_rest

    def begin(self) -> None:
        """Take up the next work, up to its first request."""
        act, done = self._inbox.popleft()
        self._at_work = [done]
        self.hand.start(lambda: _work(act, done))

    def due_at(self) -> int | None:
        """When its timekeeper wakes up, by the play's clock; None: not, or it is at work."""
        soonest = self.timekeeper._timers.next_at() if self.watchman.is_at_rest else None
        return None if soonest is None else soonest - self._skew_ms

    def may_ring(self) -> bool:
        """Whether the timekeeper has something to ask for."""
        due_at = self.due_at()
        return due_at is not None and due_at < self._clock.ms

    def ring(self) -> None:
        """What the timekeeper's thread does when it wakes up."""
        due = self.timekeeper._timers.take_due(self._now_ms(), 100)
        self.watchman.start(lambda: self.timekeeper._serve_due(due))

    def _now_ms(self) -> int:
        """Its machine's clock is not the queue's."""
        return self._clock.ms + self._skew_ms

    def threads(self) -> list[SteppedThread]:
        """Those that wait for the play."""
        return [s for s in (self.hand, self.watchman) if s.request is not None]

    def _call(self, act: Callable[[], Any]) -> "asyncio.Future[Any]":
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self.is_dead:
            _end(done, ProcessLookupError(self.name))
        else:
            self._inbox.append((act, done))
        return done

    def _fail(self, error: Exception) -> None:
        for done in [*self._at_work, *(done for _, done in self._inbox)]:
            _end(done, error)


def _work(act: Callable[[], Any], done: "asyncio.Future[Any]") -> None:
    try:
        answer = act()
    except Exception as error:
        _end(done, error)
    else:
        if not done.done():
            done.set_result(answer)


def _end(done: "asyncio.Future[Any]", error: Exception) -> None:
    if not done.done():
        done.set_exception(error)
        done.exception()  # it may be that nobody asks any more
