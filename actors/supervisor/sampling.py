"""How it was in the last ten seconds, once in ten seconds: for plots, and for alarms on a page."""

import time
from typing import Final

import redis
import redis.asyncio
import structlog

from actors.supervisor.gauges import Gauges
from actors.supervisor.histogram import quantile_ms
from actors.supervisor.stats import SupervisorStats
from meterd.rules.redis_keys import Keys
from persistence.redis.status_history import STEP_MS, StatusSample, add_sample

log = structlog.get_logger()

ELAPSED_S_MIN: Final = 1.0
"""A rate over less than this says little: a supervisor that has just begun."""

MEDIAN: Final = 50
MOST: Final = 99


class StatusSampler:
    """Writes a sample to the history as each step of ten seconds begins, and keeps the last one."""

    def __init__(self, client: redis.asyncio.Redis, keys: Keys, stats: SupervisorStats) -> None:
        """Figures of a time begin with this moment."""
        self._client = client
        self._keys = keys
        self._stats = stats
        self._step = 0
        self._handled = 0
        self._latency = stats.latency.counts
        self._lateness = stats.lateness.counts
        self._began_s = time.monotonic()
        self.last = StatusSample()

    async def sample_if_due(
        self, now_ms: int, gauges: Gauges, open_chats: int, memory_bytes: int
    ) -> None:
        """Write a sample if none of this step was written. What Redis can't take is left out.

        After a step back of the queue's clock there are none until it has caught up: stream IDs
        wait for that as well.
        """
        step = now_ms // STEP_MS
        if step <= self._step:
            return
        self._step = step
        self.last = self._sample(gauges, open_chats, memory_bytes)
        try:
            await add_sample(self._client, self._keys, self.last)
        except redis.RedisError as error:
            # A full server, which the state tells of. What decides nothing must not hold up
            # what does.
            log.warning("history.sample_lost", error=type(error).__name__)

    def _sample(self, gauges: Gauges, open_chats: int, memory_bytes: int) -> StatusSample:
        stats, now_s = self._stats, time.monotonic()
        latency, lateness = stats.latency.counts, stats.lateness.counts
        elapsed_s = max(ELAPSED_S_MIN, now_s - self._began_s)
        sample = StatusSample(
            open_chats=open_chats,
            commands_per_s=round((stats.handled - self._handled) / elapsed_s, 1),
            queue_lag=gauges.lag,
            queue_oldest_ms=gauges.oldest_ms,
            pending=gauges.pending,
            outbox=gauges.outbox,
            dead=gauges.dead,
            memory_bytes=memory_bytes,
            latency_p50_ms=quantile_ms(_since(self._latency, latency), MEDIAN),
            latency_p99_ms=quantile_ms(_since(self._latency, latency), MOST),
            lateness_p99_ms=quantile_ms(_since(self._lateness, lateness), MOST),
        )
        self._handled, self._began_s = stats.handled, now_s
        self._latency, self._lateness = latency, lateness
        return sample


def _since(before: list[int], now: list[int]) -> list[int]:
    return [b - a for a, b in zip(before, now, strict=True)]
