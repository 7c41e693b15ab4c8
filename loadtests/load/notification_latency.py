"""How late it is noticed that credits have run out, or that a chat has gone idle.

Such a change has a computed millisecond, the event's ``at``. The event's own id says when it was
written, by the same clock. Chats of their own are made for it, and what is expected of them is
known to the millisecond, so a notice that is missing or of another millisecond is found.
"""

import math
import random
from collections.abc import Iterator
from typing import Any, Final

from loadtests.common.queue import credits_for
from loadtests.common.statistics import LatencyHistogram, percentiles
from loadtests.load.client import OK, TimedClient
from loadtests.load.workload_model import PLAIN

LASTS_MS: Final = (1_000, 8_000)
"""Credits of a chat last so long, from and to."""
IDLE_MS: Final = (1_000, 6_000)
IDLE_ROUND_S: Final = 9.0
"""Each idle chat gets a heartbeat so often: later than it has gone idle."""
CREDITS_A_MINUTE: Final = 60
"""A thousandth a millisecond, so that credits end in a whole one."""
IDLE: Final = "idle"
EXHAUSTED: Final = "exhausted"


class Expectations:
    """What is to come, and how late it came."""

    def __init__(self) -> None:
        """Nothing yet."""
        self._at_ms: dict[tuple[str, str], list[int]] = {}
        self._span_ms: tuple[int, float] = (0, math.inf)
        self.lateness_ms: dict[str, LatencyHistogram] = {
            IDLE: LatencyHistogram(),
            EXHAUSTED: LatencyHistogram(),
        }
        self.all_ms = LatencyHistogram()
        self.wrong: list[str] = []

    def begin(self, begin_ms: int, end_ms: float) -> None:
        """Count those whose millisecond is in this span, by the queue's clock."""
        self._span_ms = begin_ms, end_ms

    def expect(self, kind: str, name: str, at_ms: int, since_ms: int = 0) -> None:
        """It will come of this chat (idle) or account (exhausted), by a command at ``since_ms``.

        That replaces what was expected, but for what had to come before the command: whoever
        reads the events may be behind whoever reads the replies.
        """
        before = [one for one in self._at_ms.get((kind, name), ()) if one < since_ms]
        self._at_ms[kind, name] = [*before, at_ms]

    def came(self, kind: str, name: str, at_ms: int, written_ms: int) -> None:
        """An event; those of others are no business of ours."""
        expected = self._at_ms.get((kind, name))
        if not expected:
            return
        expected_ms = expected.pop(0)
        if expected_ms != at_ms:
            self.wrong.append(f"{kind} of {name}: at {at_ms}, expected {expected_ms}")
        if self._span_ms[0] <= at_ms < self._span_ms[1]:
            self.lateness_ms[kind].add(written_ms - at_ms)
            self.all_ms.add(written_ms - at_ms)

    def missing(self, until_ms: float) -> list[str]:
        """What should have come before this millisecond and did not."""
        late = [(k, at_ms) for k, all_ in self._at_ms.items() for at_ms in all_ if at_ms < until_ms]
        return [f"{kind} of {name}: expected at {at_ms}" for (kind, name), at_ms in late]

    def document(self) -> dict[str, Any]:
        """For thresholds, tables and programs."""
        told = {
            kind: {"count": one.count, **percentiles("lateness_ms", one)}
            for kind, one in self.lateness_ms.items()
        }
        total = {"count": self.all_ms.count, **percentiles("lateness_ms", self.all_ms)}
        return {**total, "of": told}


class TimerProbes:
    """Chats that will go idle or run out of credits, and nothing else."""

    def __init__(self, client: TimedClient, name: str, per_second: int, seed: int) -> None:
        """Half of the notices are of each kind."""
        self.expectations = Expectations()
        self._client = client
        self._name = name
        self._random = random.Random(seed)
        self._count = 0
        idle = math.ceil(per_second / 2 * IDLE_ROUND_S)
        self._idle_ms = {f"{name}i{n}": self._random.randrange(*IDLE_MS) for n in range(idle)}
        self._open: set[str] = set()
        self._spent: dict[str, str] = {}

    @property
    def open_chats(self) -> int:
        """Chats that are open, as far as events have told."""
        return len(self._open) + len(self._spent)

    def openings(self) -> Iterator[str]:
        """Idle chats to be opened."""
        yield from self._idle_ms

    def open(self, chat_id: str) -> bool:
        """Open an idle chat; it costs nothing. Whether it was accepted."""
        fields = {"chat_id": chat_id, "user_id": f"{self._name}i", "advisor_id": f"{self._name}v"}
        tariff = {**PLAIN, "rate": "0", "idle_ms": self._idle_ms[chat_id]}
        asked = self._client.ask("start", {**fields, **tariff})
        if asked.outcome == OK:
            self._open.add(chat_id)
            self._will_idle(chat_id, asked.reply.at)
        return asked.outcome == OK

    def one_more(self) -> None:
        """Bring about one more notice, of one kind and the other in turn."""
        self._count += 1
        if self._count % 2 or not self._open:
            self._spend(f"{self._name}x{self._count}")
            return
        chats = list(self._idle_ms)
        chat_id = chats[self._count // 2 % len(chats)]
        asked = self._client.ask("heartbeat", {"chat_id": chat_id})
        if asked.outcome == OK:
            self._will_idle(chat_id, asked.reply.at)

    def heard(self, event: Any) -> None:
        """An event of the stream."""
        written_ms = int(event.id.partition("-")[0])
        if event.event == "chat.paused" and event.reason == "idle":
            self.expectations.came(IDLE, event.chat_id, event.at, written_ms)
        elif event.event == "credits.exhausted":
            self._spent.pop(event.user_id, None)
            self.expectations.came(EXHAUSTED, event.user_id, event.at, written_ms)

    def end(self, client: TimedClient) -> None:
        """End the chats that may be open."""
        for chat_id in (*self._open, *self._spent.values()):
            client.ask("end", {"chat_id": chat_id})

    def _spend(self, user_id: str) -> None:
        lasts_ms = self._random.randrange(*LASTS_MS)
        amount = credits_for(lasts_ms)
        if self._client.ask("top_up", {"user_id": user_id, "amount": amount}).outcome != OK:
            return
        chat_id = f"{user_id}.c"
        fields = {"chat_id": chat_id, "user_id": user_id, "advisor_id": f"{self._name}v"}
        asked = self._client.ask("start", {**fields, **PLAIN, "rate": CREDITS_A_MINUTE})
        if asked.outcome == OK:
            self._spent[user_id] = chat_id
            self.expectations.expect(EXHAUSTED, user_id, asked.reply.at + lasts_ms)

    def _will_idle(self, chat_id: str, at_ms: int) -> None:
        self.expectations.expect(IDLE, chat_id, at_ms + self._idle_ms[chat_id], at_ms)
