"""What all parts of a play share: the server, the clock, chance, and the log of what happened."""

import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

import redis

from meterd.rules.model import Policy
from tests.interleavings.actor_life import KEYS
from tests.interleavings.invariant_monitor import Clock, InvariantMonitor
from tests.interleavings.play_options import draw_options
from tests.interleavings.stepped_threads import Server

T0: Final = 1_700_000_000_000

FATES: Final = {
    "go": 80, "request lost": 3, "answer lost": 5, "late": 4, "crash": 3, "hang": 4,
}  # fmt: skip
"""What becomes of a round trip of an owner, and how often."""

MOODS: Final = {"go": 85, "request": 5, "answer": 10}
"""What becomes of one of a daemon: it goes, or its request or its answer is lost."""


class Choice(NamedTuple):
    """Something that may come next."""

    weight: float
    name: str
    act: Callable[[], Awaitable[None] | None]


class PlayContext:
    """What all parts of one play share."""

    def __init__(self, client: redis.Redis, seed: int) -> None:
        self.rng = random.Random(seed)
        self.options = draw_options(self.rng)
        self.policy = Policy(at_zero=self.options.at_zero, grace_ms=25, warn_ms=(40, 10))
        self.clock = Clock(T0)
        self.monitor = InvariantMonitor(self.clock)
        self.server = Server(client, self.monitor)
        self.log: dict[str, list[bytes]] = {}
        self.told: Counter[str] = Counter()
        self.trace: list[str] = []
        self.is_faulty = True

    def wait(self, ms: int) -> None:
        """Time passes."""
        self.clock.ms += ms

    def fate(self) -> str:
        """What becomes of an owner's round trip."""
        return self._draw(FATES)

    def mood(self) -> str:
        """What becomes of a daemon's round trip."""
        return self._draw(MOODS)

    def note(self, what: str) -> None:
        """Keep what happened, to compare two runs of one seed and to see what a play covers."""
        self.told[what.partition(" #")[0]] += 1
        self.trace.append(what)

    def note_log(self) -> None:
        """Keep the commands that are in the stream now, before anybody trims it."""
        kept: Any = self.server.client.xrange(KEYS.commands)
        for entry, fields in kept:
            self.log[entry.decode()] = [part for pair in fields.items() for part in pair]

    def _draw(self, odds: dict[str, int]) -> str:
        if not self.is_faulty or self.rng.random() < self.options.calm:
            return "go"
        return self.rng.choices(list(odds), list(odds.values()))[0]
