"""The nodes that are alive: each daemon's sign of life, in partition 0, read by all of them."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import msgspec
import redis.asyncio

from meterd.rules.redis_keys import Keys

FORGOTTEN_MS: Final = 3_600_000
"""After so long the entry of a node that was killed goes."""


class NodeEntry(msgspec.Struct, frozen=True):
    """A node's sign of life, as JSON in the hash of nodes."""

    seen_ms: int
    """When, by the server's clock."""
    version: int
    """The version of its function library."""
    host: str
    """The name of its machine, for people."""


class NodesSeen(NamedTuple):
    """What one look has found."""

    now_ms: int
    entries: dict[str, NodeEntry]
    """By the node's token, dead ones included."""

    def alive(self, ttl_ms: int) -> frozenset[str]:
        """Those seen within ``ttl_ms``, of the newest version among them.

        One seen in the future is as dead: the server's clock has stepped back since.
        A partition moves to a newer version, never back: older ones lead what nobody else takes.
        """
        fresh = {n: one for n, one in self.entries.items() if self._age_ms(one) < ttl_ms}
        newest = max((one.version for one in fresh.values()), default=0)
        return frozenset(name for name, one in fresh.items() if one.version == newest)

    def forgotten(self) -> list[str]:
        """Those of which nobody has to know any more."""
        return [name for name, one in self.entries.items() if self._age_ms(one) > FORGOTTEN_MS]

    def _age_ms(self, entry: NodeEntry) -> int:
        return abs(self.now_ms - entry.seen_ms)


class NodeRegistry:
    """One node's entry, and a look at all of them."""

    def __init__(self, client: redis.asyncio.Redis, token: str, version: int, host: str) -> None:
        """Register as ``token``, which is the name under which this daemon bids for leases."""
        self._client = client
        self._key = Keys(0).nodes
        self._token = token
        self._version = version
        self._host = host

    async def beat(self, is_able: bool) -> NodesSeen:
        """Give a sign of life if this node can lead, and see who else does.

        Raises:
            redis.RedisError: the server is away or unable.
        """
        seconds, micros = await self._client.time()
        now_ms = seconds * 1_000 + micros // 1_000
        own = msgspec.json.encode(NodeEntry(now_ms, self._version, self._host))
        async with self._client.pipeline() as pipe:
            if is_able:
                pipe.hset(self._key, self._token, own)
            pipe.hgetall(self._key)
            *_, raw = await pipe.execute()
        seen = NodesSeen(now_ms, dict(_read(raw)))
        if forgotten := seen.forgotten():
            await self._client.hdel(self._key, *forgotten)
        return seen

    async def leave(self) -> None:
        """Take the own entry out, so that the others need not wait."""
        await self._client.hdel(self._key, self._token)


def _read(raw: Mapping[bytes, bytes]) -> Iterator[tuple[str, NodeEntry]]:
    """What can be read: what no node has written is no sign of life."""
    for name, value in raw.items():
        with contextlib.suppress(UnicodeDecodeError, msgspec.DecodeError):
            yield name.decode(), msgspec.json.decode(value, type=NodeEntry)
