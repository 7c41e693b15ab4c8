"""``meterd demo``: it adds up, and says so."""

import json
import re
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from daemon.demo.play import Play
from loadtests.common.live import LiveDaemon
from meterd import Event, UnavailableError

pytestmark = [pytest.mark.slow, pytest.mark.acceptance, pytest.mark.ray, pytest.mark.timeout(180)]


def test_the_demonstration_adds_up(live: LiveDaemon) -> None:
    """In a pipe: lines as it goes on, then the books, in less than half a minute."""
    began = time.monotonic()
    shown = live.run("demo")
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert time.monotonic() - began < 30
    for text in ("chat.started A", "chat.started B", "credits.exhausted", "chat.ended B"):
        assert text in shown.stdout
    added = re.search(r"add up: ([\d.]+) for A \+ ([\d.]+) for B.* = 10\.000000", shown.stdout)
    assert added is not None
    free = re.search(
        r"shared 4 s of free time: A had ([\d.]+) s of it, B ([\d.]+) s\.", shown.stdout
    )
    assert free is not None
    assert Decimal(free[1]) + Decimal(free[2]) == 4
    assert "\x1b" not in shown.stdout
    chat_id = shown.stdout.split()[-1]
    history = json.loads(live.run("chat", chat_id, "--json").stdout)
    assert history["snapshot"]["cost"] == added[1]
    assert history["history"][-1]["cost"] == added[1]


def test_the_listener_ends_without_a_traceback_when_redis_goes_away() -> None:
    """The thread's traceback would stand before the message of the command."""

    def events() -> Iterator[Event]:
        raise UnavailableError("Redis does not answer")
        yield

    play = Play(Any, Any, lambda: 0)  # type: ignore[arg-type]
    play._listen(events())
