"""What Redis has: snapshots and accounts, many in one round trip."""

import time
from collections.abc import Sequence
from typing import Any, Final

import redis
import redis.asyncio

from daemon.gateway.dataloader import DataLoader
from daemon.gateway.errors import BusyLoaderError, busy, redis_unavailable

KEYS_MAX: Final = 500
AWAY_S: Final = 0.5
"""For so long after a failure nobody waits for Redis again."""


class RedisReader:
    """Reads values of Redis keys."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        """Nothing is read yet."""
        self._client = client
        self._loader: DataLoader[bytes | None] = DataLoader(self._fetch, KEYS_MAX)
        self._away_until_s = 0.0
        self.trouble = ""
        """Why Redis did not answer, the last time; empty if it did."""

    async def read(self, *keys: str) -> list[bytes | None]:
        """The values of these keys at one moment. Raises ProblemError: Redis is away."""
        try:
            return await self._loader.load(*keys)
        except redis.RedisError:
            raise redis_unavailable(self.trouble) from None
        except BusyLoaderError as error:
            raise busy(str(error)) from None

    async def _fetch(self, keys: Sequence[str]) -> list[bytes | None]:
        if time.monotonic() < self._away_until_s:
            raise redis.ConnectionError(self.trouble)
        try:
            found = await self._again(keys)
        except (TimeoutError, redis.RedisError) as error:
            self._away_until_s = time.monotonic() + AWAY_S
            self.trouble = str(error) or type(error).__name__
            raise redis.ConnectionError(self.trouble) from error
        self.trouble = ""
        return found

    async def _again(self, keys: Sequence[str]) -> list[bytes | None]:
        """Once more after a lost connection: it may have been cut since it was last used."""
        try:
            found: Any = await self._client.mget(keys)
        except redis.ConnectionError:
            found = await self._client.mget(keys)
        answer: list[bytes | None] = found
        return answer
