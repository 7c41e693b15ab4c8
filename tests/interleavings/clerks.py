"""Recorders of a play: the real outbox, and a ledger that keeps office as Postgres does."""

from collections.abc import Iterator
from functools import partial
from typing import cast

import redis

from persistence.errors import RecorderFencedError
from persistence.redis.commit import OutboxPayload
from persistence.redis.outbox import Outbox
from tests.interleavings.lives import KEYS
from tests.interleavings.stage import Choice, Stage
from tests.interleavings.strands import SteppedClient, Strand

NAME = "recorder"


class Ledger:
    """What has been recorded for ever, by whom it may be."""

    def __init__(self) -> None:
        self.parcels: dict[str, OutboxPayload] = {}
        self._epoch = 0

    def write(self, epoch: int, parcels: dict[str, OutboxPayload]) -> None:
        """Write for the recorder in office; a later one has taken the office."""
        if epoch < self._epoch:
            raise RecorderFencedError(NAME)
        self._epoch = epoch
        self.parcels |= parcels


class Clerk:
    """One recorder: reads, writes, empties the outbox; can be superseded anywhere."""

    def __init__(self, ledger: Ledger, epoch: str) -> None:
        client = cast("redis.Redis", SteppedClient())
        self.strand = Strand()
        self.is_over = False
        self._ledger = ledger
        self._epoch = int(epoch)
        self._outbox = Outbox(client, KEYS, 86_400_000, NAME, epoch)

    def begin(self) -> None:
        """Move what is there, up to the first request."""
        self.strand.start(self._move)

    def _move(self) -> None:
        try:
            parcels = self._outbox.read(20, 1)
            if parcels:
                self._ledger.write(self._epoch, {p.entry: p.payload for p in parcels})
                self._outbox.remove(parcels)
        except RecorderFencedError:
            self.is_over = True
        except redis.ConnectionError:
            pass


class Clerks:
    """The recorders of a play."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.ledger = Ledger()
        self._clerks: list[Clerk] = []

    def choices(self) -> Iterator[Choice]:
        """What may come next."""
        for number, clerk in enumerate(self._clerks):
            if clerk.strand.request is not None:
                yield Choice(1, f"record #{number}", partial(self._go_on, clerk))

    def mishaps(self, epoch: str) -> Iterator[Choice]:
        """Somebody begins to record, while others may still be at it."""
        if epoch:
            yield Choice(0.3, "employ", partial(self._employ, epoch))

    def _employ(self, epoch: str) -> None:
        granted = self._stage.server.one("FCALL", "meterd_grant", 1, KEYS.commands, epoch, NAME)
        if granted is not None:
            self._clerks.append(Clerk(self.ledger, granted.decode()))
            self._clerks[-1].begin()

    def _go_on(self, clerk: Clerk) -> None:
        request, fate = clerk.strand.request, self._stage.mood()
        assert request is not None
        if fate == "request":
            clerk.strand.resume(redis.ConnectionError(fate))
            return
        answers = self._stage.server.execute(request.calls)
        clerk.strand.resume(redis.ConnectionError(fate) if fate == "answer" else answers)

    def close(self) -> None:
        """End what is still going on."""
        for clerk in self._clerks:
            clerk.strand.kill()
