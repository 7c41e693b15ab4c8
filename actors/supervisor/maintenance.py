"""What has to be done once a second: functions, lease, clock, gauges, status, trimming."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec
import redis
import redis.asyncio
import structlog

from actors.errors import error_summary
from actors.supervisor.clock_monitor import ClockMonitor
from actors.supervisor.gauges import Gauges, OutboxBound, read_gauges
from actors.supervisor.leadership import Leadership
from actors.supervisor.memory_use import MemoryMonitor
from actors.supervisor.sampling import StatusSampler
from meterd.rules.redis_keys import Keys
from persistence.errors import NotLeadingError
from persistence.redis.command_stream import CommandStream
from persistence.redis.functions import loaded_versions
from persistence.redis.versions import FORMAT, READABLE, VERSION, why_versions_refused

log = structlog.get_logger()

STATUS_TTL_MS: Final = 3_000
EVERY_S_MAX: Final = 1.0
WELL_S: Final = 1.0
"""A round that takes longer is a sign of a slow Redis; usually it takes milliseconds."""

DROPPED: Final = {"unanswered": "replies.dropped", "dead_dropped": "dead_letters.dropped"}
"""Counts of what went at a bound, and the line in the log when there is more."""


class MaintenanceDeps(NamedTuple):
    """What is looked after."""

    leadership: Leadership
    clock: ClockMonitor
    outbox: OutboxBound
    load_library: Callable[[], object]
    """Loads this version's functions into Redis."""
    sampler: StatusSampler
    memory: MemoryMonitor
    open_chats: Callable[[], int]
    lease_ms: int
    processed_retention_ms: int


class MaintenanceLoop:
    """One round of maintenance after the other, until this daemon leads no more."""

    def __init__(
        self, client: redis.asyncio.Redis, keys: Keys, queue: CommandStream, deps: MaintenanceDeps
    ) -> None:
        """Nothing happens before ``keep``."""
        self._client = client
        self._keys = keys
        self._queue = queue
        self._deps = deps
        self.gauges = Gauges()
        self._has_looked = False
        self.trouble = ""
        """What Redis could not do at the last attempt."""
        self._round_s = 0.0

    def is_redis_well(self) -> bool:
        """Whether Redis did its part of the last round, and in good time."""
        return not self.trouble and self._round_s < WELL_S

    async def run_forever(self, status: Callable[[], Any]) -> NotLeadingError:
        """Do the maintenance for ever; returns why there is no use in them any more."""
        while True:
            try:
                began = time.monotonic()
                await self._round(status)
                self.trouble, self._round_s = "", time.monotonic() - began
            except redis.RedisError as error:
                self.trouble = error_summary(error)
                log.warning("maintenance.failed", error=self.trouble)
            except NotLeadingError as error:
                return error
            await asyncio.sleep(min(EVERY_S_MAX, self._deps.lease_ms / 3_000))

    async def publish(self, status: Any) -> None:
        """Let everybody read how it is."""
        await self._queue.publish(msgspec.json.encode(status), STATUS_TTL_MS)

    async def _round(self, status: Callable[[], Any]) -> None:
        deps = self._deps
        await self.look_at_library()
        await deps.leadership.renew()
        if not deps.leadership.is_verified:
            return
        await deps.clock.poll()
        await self._look_at_gauges()
        deps.outbox.entries = self.gauges.outbox
        await deps.memory.look_if_due()
        await deps.sampler.sample_if_due(
            deps.clock.now_ms(), self.gauges, deps.open_chats(), deps.memory.last.used_bytes
        )
        await self.publish(status())
        await self._queue.trim(deps.processed_retention_ms)

    async def _look_at_gauges(self) -> None:
        before, self.gauges = self.gauges, await read_gauges(self._client, self._keys)
        if self._has_looked:
            for name, event in DROPPED.items():
                number = getattr(self.gauges, name) - getattr(before, name)
                if number > 0:
                    log.warning(event, entries=number)
        self._has_looked = True

    async def look_at_library(self) -> None:
        """The functions are there, and none that are newer by more than one version.

        Raises:
            NotLeadingError: there are; this daemon has to be upgraded.
        """
        found = await loaded_versions(self._client)
        why = why_versions_refused(VERSION, found, formats=READABLE, found_format=FORMAT)
        if why:
            raise NotLeadingError(why)
        if VERSION not in found:
            log.warning("functions.loaded", found=sorted(found), own=VERSION)
            await asyncio.to_thread(self._deps.load_library)
