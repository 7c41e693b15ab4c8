"""Start processes one at a time, and give each attempt more time than the last one that was late.

A slow or busy machine is no error: a start that runs into its limit is tried again with twice the
limit. Several starts at once only make each other slower.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import structlog

from actors.errors import StartTimeoutError

T = TypeVar("T")

log = structlog.get_logger()

FACTOR_MAX: Final = 16
"""A limit grows to this multiple of the configured one, and no further."""

REPORT_AFTER_S: Final = 3.0
"""A first attempt that takes less than this is not worth reporting."""


class StartLimit:
    """The time limit for starts: doubled after each start that was late, up to a bound."""

    def __init__(self, first_s: float) -> None:
        """``first_s``: the limit of the first attempt."""
        self._first_s = first_s
        self.attempt = 1

    @property
    def seconds(self) -> float:
        """The limit of the present attempt."""
        return float(self._first_s * min(2 ** (self.attempt - 1), FACTOR_MAX))

    def exceeded(self) -> None:
        """Count an attempt that was late."""
        self.attempt += 1

    def met(self) -> None:
        """Go back to the first limit: a start was in time."""
        self.attempt = 1

    def describe(self, name: str) -> str:
        """Say what is being waited for, in words for ``meterd status``."""
        return f"waiting for {name} to start: attempt {self.attempt}, limit {self.seconds:g} s"


class Starts:
    """A queue of starts, worked off one at a time in the order of the calls."""

    def __init__(self, start_s: float, log_file: str = "") -> None:
        """``start_s``: the limit of a first attempt; ``log_file``: where Ray says what it does."""
        self._limit = StartLimit(start_s)
        self._log_file = log_file
        self._turn = asyncio.Lock()
        self._name = ""
        self._began_s = 0.0
        self._replaced = ""

    @property
    def why(self) -> str:
        """What is being waited for; empty while nothing takes long."""
        is_late = time.monotonic() - self._began_s >= REPORT_AFTER_S or self._limit.attempt > 1
        if not self._name or not is_late:
            return ""
        where = f"; log: {self._log_file}" if self._log_file else ""
        return self._limit.describe(self._name) + where

    def may_replace(self, name: str) -> bool:
        """Whether a process that is late may be ended now: one at a time.

        False while another one that was ended for being late has not been started again. If
        many are late at once, it is the machine that is slow.
        """
        self._replaced = self._replaced or name
        return self._replaced == name

    def replaced(self, name: str) -> None:
        """Another process has the name, or was tried: the next one that is late may be ended."""
        if self._replaced == name:
            self._replaced = ""

    async def run(self, name: str, start: Callable[[], Awaitable[T]]) -> T:
        """Await ``start`` when its turn comes.

        Raises:
            StartTimeoutError: it was late; the next attempt of any start has twice the time.
        """
        async with self._turn:
            self._name, self._began_s = name, time.monotonic()
            limit_s = self._limit.seconds
            timeout = asyncio.timeout(limit_s)
            try:
                async with timeout:
                    started = await start()
            except TimeoutError:
                if not timeout.expired():
                    raise
                self._report_late(limit_s)
                raise StartTimeoutError(f"{name} has not started within {limit_s:g} s") from None
            finally:
                self._name = ""
                self.replaced(name)
            self._limit.met()
            return started

    def _report_late(self, limit_s: float) -> None:
        attempt = self._limit.attempt
        self._limit.exceeded()
        log.warning(
            "actor.start_timeout",
            actor=self._name,
            attempt=attempt,
            limit_ms=int(limit_s * 1000),
            next_limit_ms=int(self._limit.seconds * 1000),
            log_file=self._log_file,
        )
