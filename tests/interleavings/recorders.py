"""Recorders of a play: the real outbox, and rows that one epoch may write, as in Postgres."""

from collections.abc import Iterator
from functools import partial
from typing import cast

import msgspec
import redis

from persistence.errors import RecorderFencedError
from persistence.redis.commit import OutboxPayload, unpack_payload
from persistence.redis.functions import function_name
from persistence.redis.outbox import Outbox
from tests.interleavings.actor_life import KEYS
from tests.interleavings.play_context import Choice, PlayContext
from tests.interleavings.stepped_threads import SteppedClient, SteppedThread

NAME = "recorder"


class RecordedFacts:
    """What has been recorded, and by which epoch."""

    def __init__(self) -> None:
        self.entries: dict[str, OutboxPayload] = {}
        self._epoch = 0

    def write(self, epoch: int, entries: dict[str, OutboxPayload]) -> None:
        """Write as a recorder. Raises FencedError: a later one has written already."""
        if epoch < self._epoch:
            raise RecorderFencedError(NAME)
        self._epoch = epoch
        self.entries |= entries


class PlayedRecorder:
    """One recorder: reads, writes, empties the outbox; can be superseded anywhere."""

    def __init__(self, ledger: RecordedFacts, epoch: str) -> None:
        client = cast("redis.Redis", SteppedClient())
        self.thread = SteppedThread()
        self.is_over = False
        self._ledger = ledger
        self._epoch = int(epoch)
        self._outbox = Outbox(client, KEYS, 86_400_000, NAME, epoch)

    def begin(self) -> None:
        """Move what is there, up to the first request."""
        self.thread.start(self._move)

    def _move(self) -> None:
        try:
            entries = self._outbox.read(20, 1)
            if entries:
                read = {p.entry: unpack_payload(msgspec.json.encode(p.payload)) for p in entries}
                self._ledger.write(self._epoch, read)
                self._outbox.remove(entries)
        except RecorderFencedError:
            self.is_over = True
        except redis.ConnectionError:
            pass


class PlayedRecorders:
    """The recorders of a play."""

    def __init__(self, context: PlayContext) -> None:
        self._context = context
        self.ledger = RecordedFacts()
        self._recorders: list[PlayedRecorder] = []

    def choices(self) -> Iterator[Choice]:
        """What may come next."""
        for number, recorder in enumerate(self._recorders):
            if recorder.thread.request is not None:
                yield Choice(1, f"record #{number}", partial(self._go_on, recorder))

    def mishaps(self, epoch: str) -> Iterator[Choice]:
        """Somebody begins to record, while others may still be at it."""
        if epoch:
            yield Choice(0.3, "employ", partial(self._employ, epoch))

    def _employ(self, epoch: str) -> None:
        granted = self._context.server.one(
            "FCALL", function_name("issue_epoch"), 1, KEYS.commands, epoch, NAME
        )
        if granted is not None:
            self._recorders.append(PlayedRecorder(self.ledger, granted.decode()))
            self._recorders[-1].begin()

    def _go_on(self, recorder: PlayedRecorder) -> None:
        request, fate = recorder.thread.request, self._context.mood()
        assert request is not None
        if fate == "request":
            recorder.thread.resume(redis.ConnectionError(fate))
            return
        answers = self._context.server.execute(request.calls)
        recorder.thread.resume(redis.ConnectionError(fate) if fate == "answer" else answers)

    def close(self) -> None:
        """End what is still going on."""
        for recorder in self._recorders:
            recorder.thread.kill()
