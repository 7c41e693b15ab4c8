"""Watches the queue's clock for steps, and holds everything until an operator has decided.

What a stepped clock says may be right or wrong; only a person can know. Until then no command is
handled and nothing falls due: commands wait in the stream, and what they bring is decided by their
IDs, as always, when it goes on.
"""

import json
import time
from typing import Any, Final

import redis.asyncio
import structlog

from meterd.rules.clock_step import ClockSample, better, queue_ms_at, step_ms
from meterd.rules.redis_keys import Keys

log = structlog.get_logger()

_MS: Final = 1_000_000


def steady_ms() -> int:
    """A clock that nobody sets; it goes on while the machine sleeps."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // _MS


class ClockMonitor:
    """Compares samples, and keeps the reason to hold in Redis, so that it outlives everybody."""

    def __init__(self, client: redis.asyncio.Redis, keys: Keys, step_ms_max: int) -> None:
        """Steps beyond ``step_ms_max`` hold."""
        self._client = client
        self._keys = keys
        self._step_ms_max = step_ms_max
        self._last: ClockSample | None = None
        self._best: ClockSample | None = None
        self._unwritten: str = ""
        self.why = ""
        self.steps = 0
        """How many steps beyond the limit were seen."""

    async def poll(self) -> None:
        """Read the queue's clock once, and whether an operator has let go meanwhile."""
        before = steady_ms()
        seconds, micros = await self._client.time()
        self.observe(seconds * 1_000 + micros // 1_000, before)
        await self.sync()

    def observe(self, queue_ms: int, before_ms: int) -> None:
        """Take in a reading of the queue's clock that was asked for at ``before_ms``."""
        sample, last = ClockSample(queue_ms, before_ms, steady_ms()), self._last
        if last is not None and sample.before_ms < last.after_ms:
            return  # asked for while another reading was under way: they can't be told apart
        self._last, self._best = sample, better(self._best, sample)
        step = step_ms(last, sample) if last is not None else 0
        if abs(step) > self._step_ms_max:
            self._alarm(step, queue_ms)

    def now_ms(self) -> int:
        """What the queue's clock says now, near enough to measure by; 0 before it was looked at."""
        return queue_ms_at(self._best, steady_ms()) if self._best is not None else 0

    def _alarm(self, step: int, queue_ms: int) -> None:
        self.steps += 1
        log.error("clock.stepped", step_ms=step, queue_ms=queue_ms)
        self._unwritten = json.dumps({"step_ms": step, "queue_ms": queue_ms})
        self.why = describe(self._unwritten)

    async def sync(self) -> None:
        """Write the reason to hold that was found here; read whether there is one."""
        if self._unwritten:
            # The first step counts: what came after it may be its correction.
            await self._client.set(self._keys.clock_hold, self._unwritten, nx=True)
            self._unwritten = ""
        raw: Any = await self._client.get(self._keys.clock_hold)
        self.why = describe(raw) if raw else ""


def describe(hold: str | bytes) -> str:
    """The reason to hold, for a person."""
    found = json.loads(hold)
    if "entry" in found:
        return (
            f"the entry {found['entry']} of the commands stream is {found['ahead_ms']} ms ahead of "
            "the queue's clock; nothing is decided until somebody has looked: meterd clock show"
        )
    return (
        f"the queue's clock stepped by {found['step_ms']:+d} ms to {found['queue_ms']}; "
        "nothing is decided until somebody has looked: meterd clock accept"
    )
