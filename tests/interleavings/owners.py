"""What chat actors do in a play, and what becomes of their round trips."""

from collections.abc import Iterator
from functools import partial

import redis

from tests.interleavings.actor_life import ActorLife
from tests.interleavings.invariant_monitor import Call
from tests.interleavings.play_context import Choice, PlayContext
from tests.interleavings.stepped_threads import Request, SteppedThread


class Owners:
    """All lives of all actors, those included that were given up and go on."""

    def __init__(self, context: PlayContext) -> None:
        self._context = context
        self.lives: list[ActorLife] = []
        self._late: list[list[Call]] = []

    def choices(self) -> Iterator[Choice]:
        """What may come next."""
        self.lives = [life for life in self.lives if not life.is_dead]
        for life in self.lives:
            weight = 0.7 if life.is_hung and self._context.is_faulty else 5.0
            for thread in life.threads():
                yield Choice(weight, f"go on #{life.name}", partial(self._go_on, life, thread))
            if life.may_begin():
                yield Choice(weight, f"begin #{life.name}", life.begin)
            if life.may_ring():
                yield Choice(weight, f"ring #{life.name}", life.ring)
        if self._late:
            yield Choice(2, "arrive", self._arrive)

    def due_at(self) -> int | None:
        """When a timekeeper wakes up next."""
        return min((at for x in self.lives if (at := x.due_at()) is not None), default=None)

    def retire(self) -> None:
        """Who was superseded is gone at last; its timekeeper would ask in vain for ever."""
        for life in self.lives:
            if self._context.monitor.epochs.get(life.name) != life.epoch:
                life.crash()

    def _go_on(self, life: ActorLife, thread: SteppedThread) -> None:
        request, fate = thread.request, self._context.fate()
        assert request is not None
        if fate == "hang" and (life.is_hung or thread is not life.hand):
            fate = "go"
        self._context.note(fate)
        if fate == "go":
            thread.resume(self._context.server.execute(request.calls))
        elif fate == "hang":
            life.hang()
        else:
            self._break(life, thread, request, fate)

    def _break(self, life: ActorLife, thread: SteppedThread, request: Request, fate: str) -> None:
        """Some of the calls reach the server now; others later, or never."""
        cut = self._context.rng.randint(0, len(request.calls))
        before, after = request.cut(0 if fate == "request lost" else cut)
        self._context.server.execute(before)
        if fate == "crash":
            life.crash()
            return
        if fate == "late" and after:
            self._late.append(after)
        thread.resume(redis.ConnectionError(fate))

    def _arrive(self) -> None:
        """What its sender has given up reaches the server after all."""
        self._context.server.execute(self._late.pop(self._context.rng.randrange(len(self._late))))
