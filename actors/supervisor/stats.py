"""What has been handled since this daemon began, and how soon: for ``meterd status`` and metrics.

Times are the queue's: a command's begins with its stream entry, a due change's with the millisecond
that was computed for it. Both end when the supervisor hears that they are committed, which is a
little later than that.

What was committed is counted when an actor says so, and once: entries whose actor was lost between
its commit and its answer are found applied, and are not counted at all. The books are in Postgres.
"""

import time
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
STAGES: Final = ("queued", "routed", "decided", "committed", "answered")
"""Where a command's time goes, in order: in the queue; read and on its way to its actor; with its
actor, but for the commit; in the commit function; from there until the supervisor knows."""
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
        self._stages_us = Counter(dict.fromkeys(STAGES, 0))
        self.latency = Histogram()
        self.lateness = Histogram()
        self.handled = 0
        """Entries that have had their effect."""

    def ages_ms(self, tasks: Sequence[Task]) -> int:
        """How long these have been in the queue by now, together."""
        # An estimate of another machine's clock may be behind it.
        now_ms = self._now_ms()
        return sum([max(0, now_ms - task.at_ms) for task in tasks])

    def add(self, tasks: Sequence[Task], stats: BatchStats, queued_ms: int = 0) -> None:
        """A batch has had its effect just now; its tasks were ``queued_ms`` in the queue."""
        now_ms = self._now_ms()
        took_ms = 0
        self.handled += len(tasks)
        # Under load a batch has tens of entries of each millisecond: they are counted together.
        for at_ms, entries in Counter([task.at_ms for task in tasks]).items():
            age_ms = max(0, now_ms - at_ms)  # its clock may be ahead of what is known of it
            took_ms += age_ms * entries
            self.latency.add(age_ms, entries)
        self._add_stages(len(tasks), took_ms, queued_ms, stats)
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
            "stages_ms": {stage: us // 1_000 for stage, us in self._stages_us.items()},
        }

    def _add_stages(self, tasks: int, took_ms: int, queued_ms: int, stats: BatchStats) -> None:
        """What no other stage has was spent on the way to the actor. None is negative."""
        now_us = time.time_ns() // 1_000
        known_us = {
            "queued": queued_ms * 1_000,
            "decided": stats.decided_us * tasks,
            "committed": stats.committed_us * tasks,
            "answered": max(0, now_us - (stats.ended_at_us or now_us)) * tasks,
        }
        routed_us = max(0, took_ms * 1_000 - sum(known_us.values()))
        self._stages_us.update(known_us, routed=routed_us)
