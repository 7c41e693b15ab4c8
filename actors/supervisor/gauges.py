"""How full everything is that has a bound in Redis: a round trip or two, once a second."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec
import redis.asyncio

from meterd.rules.commands import entry_ms
from meterd.rules.redis_keys import GROUP, Keys

OVERFLOW_NUM: Final = 11
OVERFLOW_DEN: Final = 10
"""Beyond 11/10 of the outbox's limit nothing is read any more."""


EVER: Final = ("missing", "claimed", "recreated", "unanswered", "dead_dropped")
"""What Redis has counted ever since it has the data."""


class Gauges(msgspec.Struct, frozen=True):
    """Lengths of what grows, as they were a moment ago."""

    lag: int = 0
    """Commands that nobody has read yet."""
    pending: int = 0
    """Commands that were read and have not had their effect."""
    outbox: int = 0
    """Commits that Postgres does not have yet."""
    refused: int = 0
    """Commits that Postgres has refused for good."""
    dead: int = 0
    events: int = 0
    oldest_ms: int = 0
    """For how long the oldest command has waited that has not had its effect; 0 without one."""
    missing: int = 0
    """Commands that were taken out of the stream before anybody had read them, ever."""
    claimed: int = 0
    """Commands that another consumer of the group had read, ever."""
    recreated: int = 0
    """How often the group was gone and was made again."""
    unanswered: int = 0
    """Replies that were not written because there were too many reply streams, ever."""
    dead_dropped: int = 0
    """Dead letters that went because there were too many, ever."""
    outbox_oldest_ms: int = 0
    """For how long the oldest commit has waited for Postgres; 0 without one."""


def merge_gauges(gauges: Sequence[Gauges]) -> Gauges:
    """Those of all partitions: lengths are added up; of times, the longest."""
    merged: dict[str, int] = {}
    for name in Gauges.__struct_fields__:
        values = [getattr(one, name) for one in gauges]
        merged[name] = max(values) if name.endswith("_ms") else sum(values)
    return Gauges(**merged)


class _Read(NamedTuple):
    """How far our group is."""

    lag: int | None
    """None after some deletions: Redis does not know it then."""
    pending: int
    last: str


async def read_gauges(client: redis.asyncio.Redis, keys: Keys) -> Gauges:
    """Ask for everything at once, and once more for what nobody has read."""
    pipeline = client.pipeline(transaction=False)
    pipeline.xinfo_groups(keys.commands)
    pipeline.xpending(keys.commands, GROUP)
    for key in (keys.commands, keys.outbox, keys.rejected, keys.dead, keys.events):
        pipeline.xlen(key)
    pipeline.xrange(keys.outbox, count=1)
    pipeline.time()
    pipeline.hmget(keys.progress, *EVER)
    # Before the first daemon there is no group, and perhaps no stream: Redis says so in errors.
    groups, waiting, *rest = await pipeline.execute(raise_on_error=False)
    for answer in rest:
        if isinstance(answer, Exception):
            raise answer
    commands, outbox, refused, dead, events, unsaved, (seconds, micros), progress = rest
    read = _group(groups, commands)
    first = None if isinstance(waiting, redis.ResponseError) else waiting["min"]
    unread = await _first_unread(client, keys, read)
    oldest = first or unread
    now_ms = seconds * 1_000 + micros // 1_000
    ever = {name: int(number or 0) for name, number in zip(EVER, progress, strict=True)}
    return Gauges(
        lag=(read.lag or 1) if unread else 0,
        pending=read.pending,
        outbox=outbox,
        refused=refused,
        dead=dead,
        events=events,
        oldest_ms=_age_ms(oldest, now_ms),
        outbox_oldest_ms=_age_ms(unsaved[0][0] if unsaved else None, now_ms),
        **ever,
    )


def _age_ms(entry: bytes | None, now_ms: int) -> int:
    return max(0, now_ms - entry_ms(entry.decode())) if entry else 0


async def _first_unread(client: redis.asyncio.Redis, keys: Keys, read: _Read) -> bytes | None:
    if read.lag == 0:
        return None
    found: Any = await client.xrange(keys.commands, min=f"({read.last}", count=1)
    return found[0][0] if found else None


def _group(groups: Any, commands: int) -> _Read:
    listed = [] if isinstance(groups, redis.ResponseError) else groups
    ours = next((each for each in listed if each["name"] in (GROUP, GROUP.encode())), None)
    if ours is None:
        return _Read(commands, 0, "0-0")
    return _Read(ours.get("lag"), int(ours["pending"]), ours["last-delivered-id"].decode())


class OutboxBound:
    """What is refused while Postgres is away for long.

    At the limit no chat opens any more, and the answer says so; what is open goes on, for another
    tenth of the limit. Beyond that commands wait in their stream.
    """

    def __init__(self, entries_max: int) -> None:
        """The limit, in commits."""
        self._entries_max = entries_max
        self.entries = 0

    def add(self, commits: int) -> None:
        """Some more have come; how many have gone is seen with the next look at the gauges."""
        self.entries += commits

    def is_full(self) -> bool:
        """Whether no chat may open."""
        return self.entries >= self._entries_max

    def is_overflowing(self) -> bool:
        """Whether nothing may be read."""
        return self.entries * OVERFLOW_DEN >= self._entries_max * OVERFLOW_NUM

    def why(self) -> str:
        """What a person is told."""
        held = "no command is handled" if self.is_overflowing() else "no chat can open"
        return (
            f"{self.entries} commits wait for PostgreSQL, the limit is {self._entries_max}: {held}"
        )
