"""What has been handled since this daemon began, and how soon: for ``meterd status`` and metrics.

Times are the queue's: a command's begins with its stream entry, a due change's with the millisecond
that was computed for it. Both end when the supervisor hears that they are committed, which is a
little later than that.

What was committed is counted when an actor says so, and once: entries whose actor was lost between
its commit and its answer are found applied, and are not counted at all. The books are in Postgres.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

from actors.messages import CREDIT_MOVEMENTS, BatchStats, Task
from actors.supervisor.histogram import Histogram
from meterd.rules.events import EVENTS
from meterd.rules.money import format_micro
from meterd.rules.outcomes import INTERNAL_ERROR, INVALID_COMMAND

DEAD_OUTCOMES: Final = (INVALID_COMMAND, INTERNAL_ERROR)
"""What dead letters are answered with."""
_WORK: Final = ("replayed", "commits", "redecided", "failed")


class SupervisorStats:
    """Adds up what actors tell of their batches."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        """Nothing yet; ``now_ms`` is the queue's clock, as far as it is known."""
        self._now_ms = now_ms
        self._commands: dict[str, Counter[str]] = {}
        self._work = Counter(dict.fromkeys(_WORK, 0))
        self._credits_micro = Counter(dict.fromkeys(CREDIT_MOVEMENTS, 0))
        self._events = Counter(dict.fromkeys(EVENTS, 0))
        self._dead = Counter(dict.fromkeys(DEAD_OUTCOMES, 0))
        self._active_ms = 0
        self.latency = Histogram()
        self.lateness = Histogram()
        self.handled = 0
        """Entries that have had their effect."""

    def add(self, tasks: Sequence[Task], stats: BatchStats) -> None:
        """A batch has had its effect just now."""
        now_ms = self._now_ms()
        self.handled += len(tasks)
        # Under load a batch has tens of entries of each millisecond: they are counted together.
        for at_ms, entries in Counter([task.at_ms for task in tasks]).items():
            # An estimate of another machine's clock may be behind it.
            self.latency.add(max(0, now_ms - at_ms), entries)
        for due_ms, changes in stats.dues.items():
            self.lateness.add(max(0, now_ms - due_ms), changes)
        for kind, outcomes in stats.commands.items():
            self._commands.setdefault(kind, Counter()).update(outcomes)
        self._work.update(
            replayed=stats.replayed,
            commits=stats.commits,
            redecided=stats.redecided,
            failed=stats.failed,
        )
        if (
            stats.events or stats.credits_micro or stats.dead
        ):  # most batches are heartbeats, and bring about nothing
            self._credits_micro.update(stats.credits_micro)
            self._events.update(stats.events)
            self._dead.update(stats.dead)
            self._active_ms += stats.active_ms

    def as_dict(self) -> dict[str, Any]:
        """What the status has of it."""
        return {
            "outcomes": dict(sum(self._commands.values(), Counter())),
            "commands": {kind: dict(outcomes) for kind, outcomes in self._commands.items()},
            "work": dict(self._work),
            "credits": {name: format_micro(micro) for name, micro in self._credits_micro.items()},
            "events": dict(self._events),
            "dead_letters": dict(self._dead),
            "active_ms": self._active_ms,
            "latency_ms": self.latency.as_dict(),
            "lateness_ms": self.lateness.as_dict(),
        }
