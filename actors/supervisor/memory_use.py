"""What takes memory in Redis and space in logs, by kind: a few round trips once in ten seconds.

Streams are asked for their size. Ids and reply streams are counted, and some of them are weighed.
"""

import time
from collections.abc import Iterable, Sequence
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
"""How many of the latest commands' ids are weighed, and how many reply streams beside theirs."""
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
    reply_streams: int


class MemoryMonitor:
    """Looks once in ten seconds; what can't be known stays as it was."""

    def __init__(self, client: redis.asyncio.Redis, keys: Keys, log_folder: Path | None) -> None:
        """``log_folder``: where log files lie, if that is known here."""
        self._client = client
        self._keys = keys
        self._log_folder = log_folder
        self._looked_s = -EVERY_S
        self._id_bytes = ID_BYTES
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
        named = [fields for _, fields in found.latest]
        id_weights = await self._weights(self._keys.id(id_) for id_ in _values(named, b"id"))
        self._id_bytes = mean(id_weights) or self._id_bytes
        kinds = dict(zip(STREAMS, (size or 0 for size in found.streams), strict=True))
        kinds[IDS] = ids * self._id_bytes
        kinds[REPLIES] = await self._weigh_replies(found.reply_streams, named)
        return MemoryUse(
            used_bytes=int(found.memory["used_memory"]),
            limit_bytes=int(found.memory.get("maxmemory", 0)),
            remembered_ids=ids,
            reply_streams=found.reply_streams,
            kinds=kinds,
            log_bytes=_bytes_in(self._log_folder) if self._log_folder else 0,
        )

    async def _count(self) -> _Counted:
        pipeline = self._client.pipeline(transaction=False)
        pipeline.info("memory")
        pipeline.hgetall(self._keys.id_counts)
        pipeline.time()
        pipeline.xrevrange(self._keys.commands, count=WEIGHED_MAX)
        pipeline.zcard(self._keys.reply_streams)
        keys = self._keys
        for key in (keys.commands, keys.events, keys.dead, keys.outbox, keys.rejected):
            pipeline.memory_usage(key)
        memory, hours, (seconds, micros), latest, replies, *streams = await pipeline.execute()
        now_ms = seconds * 1_000 + micros // 1_000
        return _Counted(memory, hours, now_ms, streams, latest, replies)

    async def _forget_hours(self, found: _Counted) -> int:
        """How many ids are remembered; the counts of hours that are over go."""
        over, number = count_remembered(found.hours, found.now_ms)
        if over:
            await self._client.hdel(self._keys.id_counts, *over)
        return number

    async def _weigh_replies(self, number: int, named: Iterable[dict[bytes, bytes]]) -> int:
        """What reply streams take: those in use by themselves, the others by some of them.

        A busy backend's has 10 000 entries; one that was made for a single command has one.
        """
        in_use = set(_values(named, b"reply_to"))
        some: Any = await self._client.zrandmember(self._keys.reply_streams, WEIGHED_MAX)
        others = {name.decode() for name in some} - in_use
        used = await self._weights(map(self._keys.reply, in_use))
        each = mean(await self._weights(map(self._keys.reply, others))) or REPLY_STREAM_BYTES
        return sum(used) + max(0, number - len(used)) * each

    async def _weights(self, names: Iterable[str]) -> list[int]:
        """Bytes of each of these keys that is there."""
        pipeline = self._client.pipeline(transaction=False)
        for name in names:
            pipeline.memory_usage(name)
        return [weight for weight in await pipeline.execute() if weight]


def mean(weights: Sequence[int]) -> int:
    """The mean of whole numbers, rounded down; 0 of none."""
    return sum(weights) // len(weights) if weights else 0


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
