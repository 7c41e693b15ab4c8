"""What has been handled since this daemon began, and how soon: for ``meterd status`` and metrics.

Times are the queue's: a command's begins with its stream entry, a due change's with the millisecond
that was computed for it. Both end when the supervisor hears that they are committed, which is a
little later than that.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from actors.messages import BatchStats, Task
from actors.supervisor.histogram import Histogram


class SupervisorStats:
    """Adds up what actors tell of their batches."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        """Nothing yet; ``now_ms`` is the queue's clock, as far as it is known."""
        self._now_ms = now_ms
        self._commands: dict[str, Counter[str]] = {}
        self._work = Counter(replayed=0, commits=0, redecided=0, failed=0)
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

    def as_dict(self) -> dict[str, Any]:
        """What the status has of it."""
        return {
            "outcomes": dict(sum(self._commands.values(), Counter())),
            "commands": {kind: dict(outcomes) for kind, outcomes in self._commands.items()},
            "work": dict(self._work),
            "latency_ms": self.latency.as_dict(),
            "lateness_ms": self.lateness.as_dict(),
        }
