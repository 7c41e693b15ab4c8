"""What takes memory in Redis and space in logs, by kind: a few round trips once in ten seconds.

Streams are asked for their size. Ids and reply streams are counted, and some of those that the
latest commands name are weighed.
"""

import time
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import redis
import redis.asyncio
import structlog

from meterd.rules.redis_keys import Keys
from persistence.redis.id_counts import count_remembered

log = structlog.get_logger()

EVERY_S: Final = 10.0
WEIGHED_MAX: Final = 20
"""How many of the latest commands' ids and reply streams are weighed."""
ID_BYTES: Final = 150
REPLY_STREAM_BYTES: Final = 4_300
"""Of one, while there is none to weigh."""


IDS: Final = "ids"
REPLIES: Final = "replies"
STREAMS: Final = ("commands", "events", "dead", "outbox", "refused")
MEMORY_KINDS: Final = (*STREAMS, IDS, REPLIES)


class MemoryUse(msgspec.Struct, frozen=True):
    """How much there was a moment ago."""

    used_bytes: int = 0
    """Of Redis, everything."""
    limit_bytes: int = 0
    """``maxmemory``; 0: none."""
    remembered_ids: int = 0
    """As counted since the function library counts them."""
    reply_streams: int = 0
    kinds: dict[str, int] = {}
    """Bytes in Redis by kind, about."""
    log_bytes: int = 0
    """Of the files in METERD_HOME/logs."""


class _Counted(NamedTuple):
    """What one look at the server finds."""

    memory: Any
    hours: dict[bytes, bytes]
    now_ms: int
    streams: list[int | None]
    latest: list[Any]


class MemoryMonitor:
    """Looks once in ten seconds; what can't be known stays as it was."""

    def __init__(self, client: redis.asyncio.Redis, keys: Keys, log_folder: Path | None) -> None:
        """``log_folder``: where log files lie, if that is known here."""
        self._client = client
        self._keys = keys
        self._log_folder = log_folder
        self._looked_s = -EVERY_S
        self._each = {IDS: ID_BYTES, REPLIES: REPLY_STREAM_BYTES}
        self._is_known = True
        self.last = MemoryUse()

    async def look_if_due(self) -> None:
        """Look again if the last time is long ago."""
        if time.monotonic() - self._looked_s < EVERY_S:
            return
        self._looked_s = time.monotonic()
        try:
            self.last = await self._look()
            self._is_known = True
        except redis.ResponseError as error:
            # A user that may not ask, say. What decides nothing must not hold up what does.
            if self._is_known:
                log.warning("memory.unknown", error=str(error))
            self._is_known = False

    async def _look(self) -> MemoryUse:
        found = await self._count()
        ids = await self._forget_hours(found)
        replies: Any = await self._client.zcount(self._keys.reply_streams, found.now_ms, "+inf")
        await self._weigh(found.latest)
        kinds = dict(zip(STREAMS, (size or 0 for size in found.streams), strict=True))
        counts = {IDS: ids, REPLIES: replies}
        return MemoryUse(
            used_bytes=int(found.memory["used_memory"]),
            limit_bytes=int(found.memory.get("maxmemory", 0)),
            remembered_ids=ids,
            reply_streams=replies,
            kinds=kinds | {kind: number * self._each[kind] for kind, number in counts.items()},
            log_bytes=_bytes_in(self._log_folder) if self._log_folder else 0,
        )

    async def _count(self) -> _Counted:
        pipeline = self._client.pipeline(transaction=False)
        pipeline.info("memory")
        pipeline.hgetall(self._keys.id_counts)
        pipeline.time()
        pipeline.xrevrange(self._keys.commands, count=WEIGHED_MAX)
        keys = self._keys
        for key in (keys.commands, keys.events, keys.dead, keys.outbox, keys.rejected):
            pipeline.memory_usage(key)
        memory, hours, (seconds, micros), latest, *streams = await pipeline.execute()
        return _Counted(memory, hours, seconds * 1_000 + micros // 1_000, streams, latest)

    async def _forget_hours(self, found: _Counted) -> int:
        """How many ids are remembered; the counts of hours that are over go."""
        over, number = count_remembered(found.hours, found.now_ms)
        if over:
            await self._client.hdel(self._keys.id_counts, *over)
        return number

    async def _weigh(self, latest: Iterable[Any]) -> None:
        """See how much one id and one reply stream take, by those that were used last."""
        named = [fields for _, fields in latest]
        await self._weigh_kind(IDS, {self._keys.id(i) for i in _values(named, b"id")})
        replies = {self._keys.reply(name) for name in _values(named, b"reply_to")}
        await self._weigh_kind(REPLIES, replies)

    async def _weigh_kind(self, kind: str, names: Collection[str]) -> None:
        pipeline = self._client.pipeline(transaction=False)
        for name in names:
            pipeline.memory_usage(name)
        weights = [weight for weight in await pipeline.execute() if weight]
        if weights:
            self._each[kind] = sum(weights) // len(weights)


def _values(entries: Iterable[dict[bytes, bytes]], name: bytes) -> Iterable[str]:
    for fields in entries:
        with_name = fields.get(name)
        if with_name:
            yield with_name.decode(errors="replace")


def _bytes_in(folder: Path) -> int:
    """The size of all files of a folder; those that go meanwhile count as nothing."""
    total = 0
    try:
        for file in folder.iterdir():
            total += file.stat().st_size
    except OSError:
        return total
    return total
