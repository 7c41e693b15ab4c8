"""The service as a whole, for operators and metrics: asked of Redis and Postgres directly."""

import time
from typing import Any, Final

import msgspec
import redis
import redis.asyncio

from actors.supervisor.gauges import read_gauges
from daemon.gateway.container import Dependencies
from daemon.gateway.errors import ProblemError, redis_unavailable
from daemon.gateway.metrics import Scraped
from persistence.postgres.pages import open_counts
from persistence.redis.published_status import check_writable, read_status_async

DOWN: Final = {"state": "down", "why": "no daemon has published a status for some seconds"}
COUNTS_S: Final = 5.0
"""For so long a count of open chats is good enough: counting reads them all."""


class Service:
    """Looks at the service; keeps the dearest answer for a moment."""

    def __init__(self, parts: Dependencies) -> None:
        """Nothing is asked yet."""
        self._parts = parts
        self._counts: dict[str, int] | None = None
        self._counted_at_s = -COUNTS_S

    async def status(self) -> dict[str, Any]:
        """What the daemon says of itself, with the queue as it is. Raises ProblemError."""
        try:
            status = await read_status_async(self._parts.client, self._parts.keys) or DOWN
            gauges = await read_gauges(self._parts.client, self._parts.keys)
        except redis.RedisError as error:
            raise redis_unavailable(error) from None
        return {**status, "queue": msgspec.to_builtins(gauges), "now": self._parts.clock.now_ms()}

    async def scrape(self) -> Scraped:
        """All that metrics are made of; what is away is left out."""
        try:
            status = await self.status()
        except ProblemError:
            return Scraped({}, None, await self._open_counts())
        return Scraped(status, status["queue"], await self._open_counts())

    async def is_redis_up(self) -> bool:
        """Whether Redis answers now, and takes commands."""
        try:
            await check_writable(self._parts.client, self._parts.keys)
        except redis.RedisError:
            return False
        return True

    async def is_postgres_up(self) -> bool:
        """Whether Postgres answered a moment ago."""
        return await self._open_counts() is not None

    async def _open_counts(self) -> dict[str, int] | None:
        if time.monotonic() - self._counted_at_s < COUNTS_S:
            return self._counts
        try:
            self._counts = await self._parts.postgres_reader.ask(open_counts)
        except ProblemError:
            self._counts = None
        self._counted_at_s = time.monotonic()
        return self._counts
