"""How full everything is that has a bound in Redis: one round trip, once a second."""

from typing import Any, Final

import msgspec
import redis.asyncio

from persistence.keys import GROUP, Keys

OVERFLOW_NUM: Final = 11
OVERFLOW_DEN: Final = 10
"""Beyond 11/10 of the outbox's limit nothing is read any more."""


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


async def read_gauges(client: redis.asyncio.Redis, keys: Keys) -> Gauges:
    """Ask for all lengths at once."""
    pipeline = client.pipeline(transaction=False)
    pipeline.xinfo_groups(keys.commands)
    for key in (keys.outbox, keys.refused, keys.dead, keys.events):
        pipeline.xlen(key)
    groups, outbox, refused, dead, events = await pipeline.execute()
    lag, pending = _group(groups)
    return Gauges(lag, pending, outbox, refused, dead, events)


def _group(groups: Any) -> tuple[int, int]:
    """Lag and pending of our group; Redis does not know the lag after some deletions."""
    for group in groups:
        if group["name"] in (GROUP, GROUP.encode()):
            return int(group.get("lag") or 0), int(group["pending"])
    return 0, 0


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
