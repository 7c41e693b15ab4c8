"""Work on its way to one actor; what kills actors is found in it by halving."""

from collections.abc import Callable
from typing import Final, NamedTuple

from actors.messages import BatchResult, Task

LOSSES_MAX: Final = 3
"""How many processes a batch may lose before it is halved, and a single command set aside."""


class DispatchBatch(NamedTuple):
    """Work for one actor, and what to do with its answer."""

    tasks: list[Task]
    done: Callable[[str, "DispatchBatch", BatchResult], None]
    """Called with the name of the actor that answered, the batch and its result."""
    queued_ms: int = 0
    """How long its tasks were in the queue before they were sent on, together."""
    losses: int = 0
    """How many processes were lost while it was the next to be answered."""
    is_suspect: bool = False
    """Whether it is a part of a batch that processes were lost by."""

    def with_next(self, other: "DispatchBatch", tasks_max: int) -> "DispatchBatch | None":
        """Both as one, in order, if they can go together; None if not.

        What has piled up while an actor was at work goes to it in one call: batches are small
        while there is little to do, and large under load.
        """
        has_history = self.losses or other.losses or self.is_suspect or other.is_suspect
        if has_history or self.done != other.done:
            return None
        if len(self.tasks) + len(other.tasks) > tasks_max:
            return None
        queued_ms = self.queued_ms + other.queued_ms
        return self._replace(tasks=self.tasks + other.tasks, queued_ms=queued_ms)

    def lost_again(self, why: str) -> list["DispatchBatch"]:
        """What is to be sent after one more process was lost: the same, halves, or poison.

        One command in it may kill whoever handles it. It is found by halving, and set aside
        after ``LOSSES_MAX`` deaths of its own.
        """
        losses = self.losses + 1
        if losses < LOSSES_MAX and not (self.is_suspect and len(self.tasks) > 1):
            return [self._replace(losses=losses)]
        if len(self.tasks) == 1:
            return [self._replace(tasks=[self.tasks[0]._replace(poison=why)], losses=losses)]
        middle = len(self.tasks) // 2
        halves = self.tasks[:middle], self.tasks[middle:]
        return [DispatchBatch(tasks, self.done, is_suspect=True) for tasks in halves]
