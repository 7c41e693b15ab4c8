"""Wakes up when something falls due and asks for it through the queue, with ``settle``.

The due change itself is made by whoever handles the ``settle``, in its place in the stream: a
command that was already waiting goes first. One thread an actor, asleep until the next due time.
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

import redis
import structlog

from actors.chat.timers import Timers
from meterd.rules.redis_keys import Keys
from persistence.redis.functions import function_name

log = structlog.get_logger()

SETTLES_MAX: Final = 500
"""How many accounts are asked for in one round trip."""

RETRY_MS_MIN: Final = 200
RETRY_MS_MAX: Final = 5_000
"""Pauses before what Redis could not take is asked for again; each twice the last one."""

SLEEP_S_MAX: Final = 3_600.0
"""Some credits last for centuries; no time-out of the operating system does."""

Due = tuple[str, int, str]
"""User, due millisecond, last applied entry."""


def wall_ms() -> int:
    """This machine's clock; only a hint: the queue's clock decides in Redis."""
    return time.time_ns() // 1_000_000


class SettleSender:
    """Appends ``settle`` entries for accounts that have not changed since they were armed."""

    def __init__(self, client: redis.Redis, keys: Keys, actor: str, epoch: str) -> None:
        """Ask as ``actor`` under ``epoch``."""
        self._client = client
        self._keys = keys
        self._actor = actor
        self._epoch = epoch

    def send_settle(self, due: Sequence[Due]) -> list[int]:
        """For each account: 0 asked, −1 it changed since, else the ms still to wait.

        Raises:
            redis.RedisError: Redis is away, or this actor's epoch is over.
        """
        pipeline, name = self._client.pipeline(transaction=False), function_name("settle")
        for user, due_at, applied in due:
            pipeline.fcall(
                name, 1, self._keys.commands,
                self._actor, self._epoch, user, applied, due_at,
            )  # fmt: skip
        return [int(answer) for answer in pipeline.execute()]


class TimerService:
    """The timers of one actor and the thread that serves them."""

    def __init__(
        self,
        ask: Callable[[Sequence[Due]], list[int]],
        now_ms: Callable[[], int] = wall_ms,
        on_fenced: Callable[[], None] = lambda: None,
    ) -> None:
        """Serve due accounts by ``ask``; time-outs follow ``now_ms``.

        ``on_fenced`` is called when somebody else has this actor's name: there is no use in it.
        """
        self._ask = ask
        self._now_ms = now_ms
        self._on_fenced = on_fenced
        self._timers = Timers()
        self._changed = threading.Condition()
        self._stopped = False
        self._retry_ms = RETRY_MS_MIN
        self._thread = threading.Thread(target=self._serve, name="timekeeper", daemon=True)

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def stop(self) -> None:
        """Serve no more; returns when the thread has ended."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def arm(self, user: str, due_at: int | None, applied: str) -> None:
        """What is due next for an account, as of its last applied entry; None: nothing."""
        with self._changed:
            if due_at is None:
                self._timers.disarm(user)
                return
            soonest = self._timers.next_at()
            self._timers.arm(user, due_at, applied)
            if soonest is None or due_at < soonest:
                self._changed.notify()

    def _serve(self) -> None:
        while True:
            due = self._wait_for_due()
            if due is None:
                return
            self._serve_due(due)

    def _wait_for_due(self) -> list[Due] | None:
        with self._changed:
            while not self._stopped:
                taken = self._timers.take_due(self._now_ms(), SETTLES_MAX)
                if taken:
                    return taken
                self._changed.wait(self._sleep_s())
            return None

    def _sleep_s(self) -> float | None:
        """Until the millisecond after the next due one; without any, until told."""
        soonest = self._timers.next_at()
        if soonest is None:
            return None
        return min(max(0.0, (soonest + 1 - self._now_ms()) / 1000), SLEEP_S_MAX)

    def _serve_due(self, due: list[Due]) -> None:
        try:
            waits = self._ask(due)
            self._retry_ms = RETRY_MS_MIN
        except redis.RedisError as error:
            if "FENCED" in str(error):
                self._on_fenced()
            if self._retry_ms == RETRY_MS_MIN:
                log.warning("timer.fire_failed", error=str(error), accounts=len(due))
            waits = [self._retry_ms] * len(due)
            self._retry_ms = min(2 * self._retry_ms, RETRY_MS_MAX)
        with self._changed:
            for (user, due_at, applied), wait_ms in zip(due, waits, strict=True):
                if wait_ms > 0:
                    self._again(user, due_at, applied, wait_ms)

    def _again(self, user: str, due_at: int, applied: str, wait_ms: int) -> None:
        """Later by the queue's clock: ask again at this clock's idea of then, unless overtaken.

        What is asked for stays the same millisecond: this clock may be ahead of the queue's.
        """
        if not self._timers.is_armed(user):
            wake_at = max(due_at, self._now_ms() + wait_ms - 1)
            self._timers.arm(user, due_at, applied, wake_at)
