"""The service as a whole, for operators and metrics: asked of Redis and Postgres directly."""

import contextlib
import time
from importlib import metadata
from typing import Any, Final

import msgspec
import redis

from actors.supervisor.gauges import Gauges, merge_gauges, read_gauges
from daemon.discovery.published import read_whole_status_async
from daemon.gateway.container import Dependencies
from daemon.gateway.errors import ProblemError, redis_unavailable
from daemon.gateway.metrics import Scraped
from daemon.monitoring.alarms import alarms_of
from daemon.monitoring.next_steps import next_step_of
from persistence.postgres.pages import open_counts
from persistence.redis.published_status import check_writable
from persistence.redis.status_history import read_history

DOWN: Final = {"state": "down", "why": "no daemon has published a status for some seconds"}
COUNTS_S: Final = 5.0
"""For so long a count of open chats is good enough: counting reads them all."""
_VERSION: Final = metadata.version("meterd")


class Service:
    """Looks at the service; keeps the dearest answer for a moment."""

    def __init__(self, parts: Dependencies) -> None:
        """Nothing is asked yet."""
        self._parts = parts
        self._counts: dict[str, int] | None = None
        self._counted_at_s = -COUNTS_S
        self._seen = "", 0
        self._counted: dict[str, Any] | None = None

    async def status(self) -> dict[str, Any]:
        """What the daemon says of itself, and what to make of it. Raises ProblemError."""
        try:
            published = await read_whole_status_async(self._parts.clients, len(self._parts.keys))
            gauges = merge_gauges(await self._gauges())
        except redis.RedisError as error:
            raise redis_unavailable(error) from None
        now_ms = self._parts.clock.now_ms()
        status = {
            "version": _VERSION,
            **(published or DOWN),
            "state_since": self._since(published or DOWN, now_ms),
            "environment": self._parts.settings.http.environment,
            "queue": msgspec.to_builtins(gauges),
            "now": now_ms,
        }
        advice = {"next_step": next_step_of(status), "alarms": list(alarms_of(status))}
        return status | advice

    async def history(self) -> dict[str, Any]:
        """How it was in the last hour. Raises ProblemError."""
        now_ms = self._parts.clock.now_ms()
        try:
            history = await read_history(self._parts.clients, self._parts.keys, now_ms)
        except redis.RedisError as error:
            raise redis_unavailable(error) from None
        return {"now": now_ms, **history}

    async def scrape(self) -> Scraped:
        """All that metrics are made of, as far as it can be known.

        Counters stand still while nobody tells them: a fall to 0 would look like a new daemon.
        """
        try:
            status = await self.status()
        except ProblemError:
            return Scraped({}, None, await self._open_counts(), self._counted)
        if "uptime_ms" in status:
            self._counted = status
        self._counted = self._counted or {}
        return Scraped(status, status["queue"], await self._open_counts(), self._counted)

    async def is_redis_up(self) -> bool:
        """Whether Redis answers now, and takes commands; of several servers, one at least."""
        for client, numbers in self._parts.clients.groups(len(self._parts.keys)):
            with contextlib.suppress(redis.RedisError):
                for number in numbers:
                    await check_writable(client, self._parts.keys[number])
                return True
        return False

    async def is_postgres_up(self) -> bool:
        """Whether Postgres answered a moment ago."""
        return await self._open_counts() is not None

    async def _gauges(self) -> list[Gauges]:
        """Those of the partitions whose Redis answers. Raises redis.RedisError: none does."""
        found: list[Gauges] = []
        failures: list[redis.RedisError] = []
        for client, numbers in self._parts.clients.groups(len(self._parts.keys)):
            try:
                found += [await read_gauges(client, self._parts.keys[n]) for n in numbers]
            except redis.RedisError as error:
                failures.append(error)
        if not found:
            raise failures[0]
        return found

    def _since(self, published: dict[str, Any], now_ms: int) -> int:
        """Since when it is in this state; of one that comes without, since it was seen here."""
        state, since_ms = published["state"], published.get("state_since")
        if since_ms:
            self._seen = state, since_ms
        elif state != self._seen[0]:
            self._seen = state, now_ms
        return self._seen[1]

    async def _open_counts(self) -> dict[str, int] | None:
        if time.monotonic() - self._counted_at_s < COUNTS_S:
            return self._counts
        try:
            self._counts = await self._parts.postgres_reader.ask(open_counts)
        except ProblemError:
            self._counts = None
        self._counted_at_s = time.monotonic()
        return self._counts
