"""Which partition has a chat: a chat id names one chat in all of them (PROTOCOL 2, Partitions).

A partition claims a chat before it decides the start. The claim lasts for as long as PostgreSQL may
take to hear of the chat; from then on its record tells whose the chat is.
"""

from collections.abc import Sequence, Set
from typing import Any

import redis.asyncio

from meterd.rules.partitions import Partition, partition_of
from meterd.rules.redis_keys import Keys


class ChatDirectory:
    """The claims of one partition."""

    def __init__(self, client: redis.asyncio.Redis, partition: Partition, ttl_ms: int) -> None:
        """Claim for ``partition``; a claim is forgotten after ``ttl_ms``."""
        self._client = client
        self._partition = partition
        self._ttl_ms = ttl_ms

    async def look_up(self, chat_ids: Sequence[str], opening: Set[str]) -> set[str]:
        """Give those of the chats that another partition has, in one round trip.

        Args:
            chat_ids: chats that this partition does not know.
            opening: those that would start here; they are claimed unless somebody has them.

        Raises:
            redis.RedisError: what was claimed is not known; claiming again is safe.
        """
        own, pipeline = str(self._partition.number), self._client.pipeline(transaction=False)
        for chat_id in chat_ids:
            if chat_id in opening:
                pipeline.set(self._key(chat_id), own, nx=True, get=True, px=self._ttl_ms)
            else:
                pipeline.get(self._key(chat_id))
        found: list[Any] = await pipeline.execute()
        owners = dict(zip(chat_ids, found, strict=True))
        return {chat_id for chat_id, owner in owners.items() if owner not in (None, own.encode())}

    async def release(self, chat_ids: Sequence[str]) -> None:
        """Give up claims on chats that did not start; others' claims stay.

        Nobody else can claim in between: a claim is far younger here than it may become.

        Raises:
            redis.RedisError: what is not given up is forgotten in time.
        """
        own, pipeline = str(self._partition.number), self._client.pipeline(transaction=False)
        for chat_id in chat_ids:
            pipeline.get(self._key(chat_id))
        found: list[Any] = await pipeline.execute()
        pairs = zip(chat_ids, found, strict=True)
        for chat_id in (chat_id for chat_id, owner in pairs if owner == own.encode()):
            pipeline.delete(self._key(chat_id))
        await pipeline.execute()

    def _key(self, chat_id: str) -> str:
        return Keys(partition_of(chat_id, self._partition.partitions)).owner(chat_id)
