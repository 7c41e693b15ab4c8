"""When a process that does not answer counts as hung, on a slow machine too.

A process that waits for a CPU can't answer, and to end it and start another one makes the machine
slower still. So the time in which it waited for a CPU does not count, nor does that in which
whoever watches it was late. What hangs is ended in the end on any machine.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final, TypeVar

from actors.errors import HungError

T = TypeVar("T")

FACTOR_MAX: Final = 8
"""A silence that lasts for this multiple of its limit is over the limit, whatever the machine."""

STEP_S: Final = 0.5
"""How often a process that is late is looked at."""
STEPS_MIN: Final = 4
"""How often it is looked at least within its limit."""


class Silence:
    """How long a process has said nothing, and how much of that counts."""

    def __init__(self) -> None:
        """It begins now."""
        self.total_s = 0.0
        self.counted_s = 0.0

    def add(self, elapsed_s: float, waited_s: float, late_s: float) -> None:
        """Some more time without an answer.

        Args:
            elapsed_s: how much time.
            waited_s: for how much of it the process has waited for a CPU.
            late_s: by how much whoever watches was late.
        """
        excused_s = min(elapsed_s, max(waited_s, late_s, 0.0))
        self.total_s += elapsed_s
        self.counted_s += elapsed_s - excused_s

    def is_over(self, limit_s: float) -> bool:
        """Whether the process counts as hung under this limit."""
        return self.counted_s >= limit_s or self.total_s >= limit_s * FACTOR_MAX


class ProcessSilence:
    """The silence of a process of this machine, by the kernel's own figures."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """It begins now; ``clock``: seconds that never go back."""
        self._clock = clock
        self.answered()

    def answered(self) -> None:
        """It has said something: the silence begins again."""
        self._silence = Silence()
        self._seen_s = self._clock()
        self._waits_ns: Mapping[int, int] = {}

    def observe(self, pid: int | None, step_s: float) -> None:
        """Look at it, ``step_s`` after the last time if whoever watches is not late.

        Args:
            pid: None where nothing can be known of it: on another machine.
            step_s: how long it was meant to be since the last look, or since the last answer.
        """
        now_s, waits_ns = self._clock(), thread_waits_ns(pid) if pid else {}
        elapsed_s = now_s - self._seen_s
        waited_s = longest_wait_s(self._waits_ns, waits_ns)
        self._silence.add(elapsed_s, waited_s, elapsed_s - step_s)
        self._seen_s, self._waits_ns = now_s, waits_ns

    def is_over(self, limit_s: float) -> bool:
        """Whether the process counts as hung under this limit."""
        return self._silence.is_over(limit_s)

    @property
    def total_s(self) -> float:
        """For how long it had said nothing when it was looked at last."""
        return self._silence.total_s


def longest_wait_s(before_ns: Mapping[int, int], now_ns: Mapping[int, int]) -> float:
    """For how long the thread that waited longest has waited between two looks.

    A thread that was not there at the first look does not count: its wait may be older.
    """
    waits = (wait - before_ns[thread] for thread, wait in now_ns.items() if thread in before_ns)
    return max(waits, default=0) / 1e9


def thread_waits_ns(pid: int) -> dict[int, int]:
    """How long each thread of a process has waited for a CPU, ever; empty where nobody knows.

    The kernel counts the time in which a thread could run and did not, because others did or
    because the quota of its group was used up.
    """
    found = {}
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            _, waited, _ = (task / "schedstat").read_text().split()
            found[int(task.name)] = int(waited)
    except (OSError, ValueError):
        return found  # it has ended, or a thread of it; or the kernel does not count
    return found


async def answer_in_time(
    answer: Awaitable[T],
    limit_s: float,
    pid: int | None,
    may_end: Callable[[], bool],
) -> T:
    """Wait for the answer of a process.

    Args:
        answer: what it was asked.
        limit_s: how long it may be silent.
        pid: its process if it is on this machine.
        may_end: asked once its silence is over the limit; False: wait on.

    Raises:
        HungError: it hangs.
    """
    asked = asyncio.ensure_future(answer)
    silence, step_s = ProcessSilence(), min(STEP_S, limit_s / STEPS_MIN)
    try:
        while True:
            done, _ = await asyncio.wait([asked], timeout=step_s)
            if done:
                return asked.result()
            silence.observe(pid, step_s)
            if silence.is_over(limit_s) and may_end():
                raise HungError(f"no answer for {silence.total_s:.1f} s")
    finally:
        asked.cancel()
