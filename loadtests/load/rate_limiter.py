"""When the next command may be sent, so that all together are as many a second as wanted."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

BEHIND_S_MAX: Final = 0.5
"""Who is further behind does not catch up: a burst would not be what was asked for."""


class RateLimiter:
    """Hands out moments, evenly spaced, to any number of greenlets."""

    def __init__(
        self, rate: Callable[[], float], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """``rate`` is asked before each command; 0: no waiting at all.

        The first moment is one interval away, so that n intervals bring n commands.
        """
        self._rate = rate
        self._clock = clock
        self._next_s = clock() + (1.0 / rate() if rate() > 0 else 0.0)

    def wait_s(self) -> float:
        """Take the next moment: how long it is until then."""
        return max(0.0, self.take_s() - self._clock())

    def take_s(self) -> float:
        """Take the next moment, by the clock; it may be a little in the past."""
        rate, now_s = self._rate(), self._clock()
        if rate <= 0:
            self._next_s = now_s
            return now_s
        taken_s = max(self._next_s, now_s - BEHIND_S_MAX)
        self._next_s = taken_s + 1.0 / rate
        return taken_s


def waited_for_cpu_s() -> float:
    """How long this thread could have run and was not let; 0 where the kernel does not count.

    Latencies of a load generator that waits for a CPU are partly its own.
    """
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
    return 0.0
