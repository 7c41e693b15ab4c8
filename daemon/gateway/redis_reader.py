"""What Redis has: snapshots and accounts, many in one round trip."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final

import redis
import redis.asyncio

from daemon.gateway.dataloader import DataLoader
from daemon.gateway.errors import BusyLoaderError, busy, redis_unavailable
from meterd.redis_servers import ByServer
from meterd.rules.redis_keys import partition_of_key

KEYS_MAX: Final = 500
AWAY_S: Final = 0.5
"""For so long after a failure nobody waits for Redis again."""


class RedisReader:
    """Reads values of Redis keys, each from the server that has its partition."""

    def __init__(self, clients: ByServer[redis.asyncio.Redis]) -> None:
        """Nothing is read yet."""
        self._servers = ByServer(clients.servers, lambda url: _ServerReader(clients.at(url)))

    @property
    def trouble(self) -> str:
        """Why Redis did not answer, the last time; empty if it did."""
        return next(filter(None, (one.trouble for one in self._servers.made())), "")

    async def read(self, *keys: str) -> list[bytes | None]:
        """The values of these keys, those of one server at one moment.

        Raises:
            ProblemError: a Redis that has one of them is away.
        """
        split = self._servers.split(map(partition_of_key, keys))
        if len(split) == 1:
            return await self._servers.at(next(iter(split))).read(keys)
        found: list[bytes | None] = [None] * len(keys)
        asked = [
            self._servers.at(url).read([keys[place] for place in places])
            for url, places in split.items()
        ]
        for places, values in zip(split.values(), await asyncio.gather(*asked), strict=True):
            for place, value in zip(places, values, strict=True):
                found[place] = value
        return found


class _ServerReader:
    """The same of one server: what is asked for at once shares a round trip."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._client = client
        self._loader: DataLoader[bytes | None] = DataLoader(self._fetch, KEYS_MAX)
        self._away_until_s = 0.0
        self.trouble = ""

    async def read(self, keys: Sequence[str]) -> list[bytes | None]:
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
