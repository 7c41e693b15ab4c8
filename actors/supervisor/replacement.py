"""What was lost and is not there again yet: for ``meterd status``."""

import time
from collections.abc import Callable
from typing import Any, Final

LONG_S: Final = 5.0
"""A replacement that takes longer keeps commands waiting: whoever asks has to hear of it."""


class Replacement:
    """Since when something has no working process, why, and how often another one was tried."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing is lost; ``clock``: seconds that never go back."""
        self._clock = clock
        self._attempt = 0
        self._since_s = 0.0
        self._why = ""

    def lost(self, why: str) -> None:
        """Its process is gone, or the one that was to take its place; another one is tried."""
        if not self._attempt:
            self._since_s = self._clock()
        self._attempt += 1
        self._why = why

    def done(self) -> None:
        """A process is there and works."""
        self._attempt = 0

    @property
    def is_long(self) -> bool:
        """Whether it takes long."""
        return bool(self._attempt) and self._clock() - self._since_s >= LONG_S

    def as_dict(self, now_ms: int) -> dict[str, Any] | None:
        """Since which millisecond, which attempt, why; None while nothing is replaced."""
        if not self._attempt:
            return None
        since_ms = now_ms - int((self._clock() - self._since_s) * 1000)
        return {"since": since_ms, "attempt": self._attempt, "why": self._why}

    def describe(self, name: str) -> str:
        """The same in words for a person; empty while nothing is replaced."""
        if not self._attempt:
            return ""
        for_s = int(self._clock() - self._since_s)
        return f"{name} is being replaced, attempt {self._attempt}, for {for_s} s: {self._why}"
