"""How a command of a load test is timed."""

import time
from typing import Any

from loadtests.load.client import OK, TimedClient


class Answering:
    """In place of a client: it has every command's effect at once."""

    def heartbeat(self, **_: Any) -> str:
        return "done"


def test_a_planned_command_is_timed_from_its_moment() -> None:
    """A generator that is late must not hide it; without a plan the time from sending counts."""
    heard: list[float] = []
    client: Any = Answering()
    timed = TimedClient(client, lambda _kind, _name, latency_ms, _error: heard.append(latency_ms))
    assert timed.ask("heartbeat", {}, time.monotonic() - 3.0).outcome == OK
    assert timed.ask("heartbeat", {}).outcome == OK
    planned_ms, sent_ms = heard
    assert planned_ms >= 3_000 > sent_ms
