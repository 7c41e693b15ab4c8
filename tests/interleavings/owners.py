"""What chat actors do in a play, and what becomes of their round trips."""

from collections.abc import Iterator
from functools import partial

import redis

from tests.interleavings.lives import Life
from tests.interleavings.stage import Choice, Stage
from tests.interleavings.strands import Request, Strand
from tests.interleavings.witness import Call


class Owners:
    """All lives of all actors, those included that were given up and go on."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.lives: list[Life] = []
        self._late: list[list[Call]] = []

    def choices(self) -> Iterator[Choice]:
        """What may come next."""
        self.lives = [life for life in self.lives if not life.is_dead]
        for life in self.lives:
            weight = 0.7 if life.is_hung and self._stage.is_faulty else 5.0
            for strand in life.strands():
                yield Choice(weight, f"go on #{life.name}", partial(self._go_on, life, strand))
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
            if self._stage.witness.epochs.get(life.name) != life.epoch:
                life.crash()

    def _go_on(self, life: Life, strand: Strand) -> None:
        request, fate = strand.request, self._stage.fate()
        assert request is not None
        if fate == "hang" and (life.is_hung or strand is not life.hand):
            fate = "go"
        self._stage.note(fate)
        if fate == "go":
            strand.resume(self._stage.server.execute(request.calls))
        elif fate == "hang":
            life.hang()
        else:
            self._break(life, strand, request, fate)

    def _break(self, life: Life, strand: Strand, request: Request, fate: str) -> None:
        """Some of the calls reach the server now; others later, or never."""
        cut = self._stage.rng.randint(0, len(request.calls))
        before, after = request.cut(0 if fate == "request lost" else cut)
        self._stage.server.execute(before)
        if fate == "crash":
            life.crash()
            return
        if fate == "late" and after:
            self._late.append(after)
        strand.resume(redis.ConnectionError(fate))

    def _arrive(self) -> None:
        """What its sender has given up reaches the server after all."""
        self._stage.server.execute(self._late.pop(self._stage.rng.randrange(len(self._late))))
