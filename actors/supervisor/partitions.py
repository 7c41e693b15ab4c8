"""The supervisors of all partitions, side by side in one process and one loop.

Each leads its partition by itself: one that ends, because another daemon leads or its Redis is to
be compared again, begins again here and leaves the others alone. Where there is one partition only,
its end is the process's end, and whoever has started the process starts another.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple, Protocol

import structlog

from actors.supervisor.merged_status import merge_statuses

log = structlog.get_logger()

FAILURES_MAX: Final = 5
"""Supervisors of one partition that may fail in a row, none of them ready, before all end."""
PAUSE_S: Final = 0.2
"""Before the first new one; twice as long before each one after it that has failed as well."""

STOPPED: Final = "stopped"
STARTING: Final = {"state": "starting", "why": ""}


class PartitionSupervisor(Protocol):
    """The supervisor of one partition."""

    @property
    def is_ready(self) -> bool:
        """Whether it leads, and handles commands."""

    async def run(self) -> str:
        """Work until ``stop``; returns why it ended."""

    def stop(self) -> None:
        """End ``run``, in order."""

    def hand_over(self) -> None:
        """End ``run``, in order, because another daemon goes on."""

    def status(self) -> dict[str, Any]:
        """What runs where."""


class Made(NamedTuple):
    """A supervisor, and what ends what it works with."""

    supervisor: PartitionSupervisor
    close: Callable[[], Awaitable[None]]


class Supervisors:
    """Supervisors that follow each other, for each partition."""

    def __init__(self, partitions: int, make: Callable[[int], Made]) -> None:
        """``make`` makes a supervisor for the partition of a number."""
        self._make = make
        self._running: list[PartitionSupervisor | None] = [None] * partitions
        self._is_stopping = False

    async def run(self) -> str:
        """Work until ``stop``; returns why it ended.

        Raises:
            Exception: that of a partition whose supervisors fail again and again.
        """
        if len(self._running) == 1:
            return await self._lead(0)
        async with asyncio.TaskGroup() as group:
            lives = [group.create_task(self._lead(n)) for n in range(len(self._running))]
        return lives[0].result()

    def stop(self) -> None:
        """End all of them, in order."""
        self._is_stopping = True
        for supervisor in filter(None, self._running):
            supervisor.stop()

    def held(self) -> list[int]:
        """The partitions that are led here, and whose commands are handled."""
        return [n for n, one in enumerate(self._running) if one is not None and one.is_ready]

    def hand_over(self, number: int) -> None:
        """End a partition's supervisor, in order; the next one stands by."""
        supervisor = self._running[number]
        if supervisor is not None:
            supervisor.hand_over()

    def status(self) -> dict[str, Any]:
        """What runs where, of all partitions."""
        return merge_statuses([self._status(one) for one in self._running])

    def _status(self, supervisor: PartitionSupervisor | None) -> dict[str, Any]:
        if supervisor is None:
            return STARTING
        status = supervisor.status()
        if status["state"] == "stopping" and not self._is_stopping:
            status["state"] = "standby"  # it hands over, and this daemon works on
        return status

    async def _lead(self, number: int) -> str:
        """One partition, supervisor after supervisor."""
        failures = 0
        while True:
            made = self._make(number)
            self._running[number] = made.supervisor
            if self._is_stopping:
                made.supervisor.stop()
            try:
                why = await made.supervisor.run()
                failures = 0
            except Exception:
                failures += 1
                if len(self._running) == 1 or failures >= FAILURES_MAX:
                    raise
                log.exception("partition.failed", partition=number, failures=failures)
                why = ""
            finally:
                await made.close()
            if self._is_stopping or len(self._running) == 1:
                return why
            if why != STOPPED:
                await asyncio.sleep(PAUSE_S * 2**failures)
