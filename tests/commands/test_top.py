"""``meterd top``: figures as they are, in a pipe and in a terminal."""

import json
from collections import deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from daemon.top.draw import BARS, facts, line, screen, spark
from daemon.top.look import Frame, Past
from loadtests.common.live import LiveDaemon

pytestmark = pytest.mark.slow


def frame(**status: Any) -> Frame:
    """A moment of a service that says this of itself."""
    told = {"state": "ready", "why": "", **status}
    return Frame(told, [], Past(deque([3.0]), deque([0.0]), deque([1.0])), "")


@given(st.lists(st.floats(0, 1e9)))
def test_bars_rise_with_values(values: list[float]) -> None:
    """A higher value never has a lower bar; there is one bar for each of the latest."""
    bars = spark(values, 10)
    latest = values[-10:]
    assert len(bars) == len(latest)
    by_value = [BARS.index(bar) for _, bar in sorted(zip(latest, bars, strict=True))]
    assert by_value == sorted(by_value)


@pytest.mark.parametrize("status", [{}, {"queue": {}}, {"state": "down"}])
def test_a_service_that_says_little_is_shown_all_the_same(status: dict[str, Any]) -> None:
    """Nothing that is missing breaks the screen."""
    console = Console(width=80, record=True)
    console.print(screen(frame(**status)))
    assert "Actors" in console.export_text()
    assert facts(frame(**status))["open_chats"] == 0
    assert "state=" in line(frame(**status))


@pytest.mark.acceptance
@pytest.mark.ray
def test_top_tells_what_runs(live: LiveDaemon) -> None:
    """The open chats of the daemon's own status; a line for each look in a pipe."""
    live.run("send", "top_up", "user_id=top-user", "amount=5")
    live.run("send", "start", "chat_id=top-chat", "user_id=top-user", "advisor_id=a")
    live.until(lambda: live.published().get("open_chats", 0) >= 1)
    told = json.loads(live.run("top", "--json", "--times", "1").stdout)
    assert told["state"] == "ready"
    assert told["open_chats"] >= 1
    lines = live.run("top", "--times", "2", "--every-s", "0.1").stdout.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("state=ready") for line in lines)
