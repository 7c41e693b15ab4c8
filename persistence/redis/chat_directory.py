"""Which partition has a chat: a chat id names one chat in all of them (PROTOCOL 2, Partitions).

A partition claims a chat before it decides the start. The claim lasts for as long as PostgreSQL may
take to hear of the chat; from then on its record tells whose the chat is.

A claim lies in the Redis of any partition, which may be another server. While that one is away
nobody can know whether the chat is another partition's.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence, Set
from typing import Any, Final, NamedTuple

import redis
import redis.asyncio
import structlog

from meterd.redis_servers import ByServer
from meterd.rules.partitions import Partition, partition_of
from meterd.rules.redis_keys import Keys

log = structlog.get_logger()

CLAIM_TIMEOUT_S: Final = 1.0
"""How long another partition's server may take to answer."""
CLAIM_WAIT_S: Final = 3.0
"""For so long such a server is waited for, as while a replica takes over."""
AWAY_S: Final = 5.0
"""After that nobody waits for it, and so often it is tried again."""
_RETRY_S: Final = 0.1


class ChatOwners(NamedTuple):
    """What is known of chats that a partition does not know."""

    elsewhere: set[str]
    """Those that another partition has."""
    unclear: set[str]
    """Those that can't be asked for now: nothing is claimed for them."""


class ChatDirectory:
    """The claims of one partition."""

    def __init__(
        self, clients: ByServer[redis.asyncio.Redis], partition: Partition, ttl_ms: int
    ) -> None:
        """Claim for ``partition``; a claim is forgotten after ``ttl_ms``."""
        self._clients = clients
        self._partition = partition
        self._ttl_ms = ttl_ms
        self._own_url = clients.servers.url_of(partition.number)
        self._away_until_s: dict[str, float] = {}

    async def look_up(self, chat_ids: Sequence[str], opening: Set[str]) -> ChatOwners:
        """Say which of the chats another partition has, in one round trip to each server.

        Args:
            chat_ids: chats that this partition does not know.
            opening: those that would start here; they are claimed unless somebody has them.

        Raises:
            redis.RedisError: the partition's own server does not answer. What was claimed is not
                known; claiming again is safe.
        """
        shares = self._shares(chat_ids)
        asked = (self._owners(url, share, opening) for url, share in shares.items())
        own, found = str(self._partition.number).encode(), ChatOwners(set(), set())
        for share, owners in zip(shares.values(), await asyncio.gather(*asked), strict=True):
            if owners is None:
                found.unclear.update(share)
                continue
            pairs = zip(share, owners, strict=True)
            found.elsewhere.update(chat for chat, owner in pairs if owner not in (None, own))
        return found

    async def release(self, chat_ids: Sequence[str]) -> None:
        """Give up claims on chats that did not start; others' claims stay.

        Nobody else can claim in between: a claim is far younger here than it may become.

        Raises:
            redis.RedisError: what is not given up is forgotten in time.
        """
        for url, share in self._shares(chat_ids).items():
            await self._release(self._clients.at(url), share)

    async def _release(self, client: redis.asyncio.Redis, chat_ids: Sequence[str]) -> None:
        own, pipeline = str(self._partition.number), client.pipeline(transaction=False)
        for chat_id in chat_ids:
            pipeline.get(self._key(chat_id))
        found: list[Any] = await pipeline.execute()
        pairs = zip(chat_ids, found, strict=True)
        for chat_id in (chat_id for chat_id, owner in pairs if owner == own.encode()):
            pipeline.delete(self._key(chat_id))
        await pipeline.execute()

    async def _owners(self, url: str, chat_ids: Sequence[str], opening: Set[str]) -> Any:
        own, client = str(self._partition.number), self._clients.at(url)

        async def ask() -> Any:
            pipeline = client.pipeline(transaction=False)
            for chat_id in chat_ids:
                if chat_id in opening:
                    pipeline.set(self._key(chat_id), own, nx=True, get=True, px=self._ttl_ms)
                else:
                    pipeline.get(self._key(chat_id))
            return await pipeline.execute()

        return await (ask() if url == self._own_url else self._unless_away(url, ask))

    async def _unless_away(self, url: str, ask: Callable[[], Awaitable[Any]]) -> Any:
        """The answer of another partition's server; None while it is away."""
        until_s = self._away_until_s.get(url)
        now_s = time.monotonic()
        if until_s is not None and now_s < until_s:
            return None
        deadline_s = now_s + CLAIM_WAIT_S if until_s is None else now_s
        while True:
            try:
                answer = await ask()
            except redis.RedisError as error:
                if time.monotonic() >= deadline_s:
                    self._away_until_s[url] = time.monotonic() + AWAY_S
                    log.warning("claims.unavailable", error=type(error).__name__)
                    return None
                await asyncio.sleep(_RETRY_S)
            else:
                self._away_until_s.pop(url, None)
                return answer

    def _shares(self, chat_ids: Sequence[str]) -> dict[str, list[str]]:
        """The chats by the server that has their claims."""
        places = self._clients.split(
            partition_of(chat_id, self._partition.partitions) for chat_id in chat_ids
        )
        return {url: [chat_ids[place] for place in found] for url, found in places.items()}

    def _key(self, chat_id: str) -> str:
        return Keys(partition_of(chat_id, self._partition.partitions)).owner(chat_id)
