"""``meterd top``: figures as they are, in a pipe and in a terminal."""

import json
import re
import termios
from collections import deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from daemon.console.chat_now import ChatNow, chat_now
from daemon.top.draw import BARS, facts, line, screen, spark
from daemon.top.look import Frame, Past
from daemon.top.order import KEYS, ordered
from loadtests.common.live import LiveDaemon
from loadtests.common.timeouts import scaled
from meterd import Meter
from meterd.rules.billing import burns
from meterd.rules.model import Chat, chat_at
from meterd.rules.money import read_micro
from meterd.rules.snapshots import chat_snapshot
from tests.commands.terminal import in_terminal


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


@pytest.mark.parametrize("columns", [80, 119, 120, 200])
def test_times_and_costs_are_whole_in_any_terminal(columns: int) -> None:
    """Names are cut before figures are."""
    snapshot = {
        **chat_snapshot(chat_at("a" * 40, "b" * 40, 0), 0),
        "active_ms": 3_599_999,
        "billed_ms": 3_599_998,
        "cost": "12345.678901",
    }
    chats = [ChatNow(snapshot, 60_000_000, 7_199_999)]
    console = Console(width=columns, record=True)
    console.print(screen(frame()._replace(chats=chats), columns=columns))
    text = console.export_text()
    assert "12345.678901" in text
    assert "0:59:59.999" in text
    assert "1:59:59.999" in text
    assert max(map(len, text.splitlines())) <= columns


counts = st.integers(0, 10**9)


@st.composite
def running_chats(draw: st.DrawFn) -> Chat:
    """A chat that runs, in the middle of any tariff."""
    started_ms, paused_ms, active_ms = draw(counts), draw(counts), draw(counts)
    return chat_at("c", "u", started_ms)._replace(
        since_ms=started_ms + paused_ms + active_ms,
        active_ms=active_ms,
        rate_micro=draw(counts),
        owed_rate_ms=draw(counts),
        carried_cost_micro=draw(counts),
        free_ms=draw(counts),
        min_ms=draw(counts),
        increment_ms=draw(st.integers(1, 10**6)),
        increment_due=draw(st.sampled_from(("begin", "end"))),
    )


@given(running_chats(), counts, counts)
def test_a_running_chat_is_shown_as_the_rules_have_it(chat: Chat, first: int, then: int) -> None:
    """Whenever its snapshot was made: all is as of now, and the cost within a micro-credit."""
    made_ms = chat.since_ms + first
    now_ms = made_ms + then
    shown = chat_now(chat_snapshot(chat, made_ms), now_ms, None).snapshot
    right = chat_snapshot(chat, now_ms)
    costs = read_micro(shown.pop("cost")), read_micro(right.pop("cost"))
    assert shown == right
    assert 0 <= costs[1] - costs[0] <= 1


@given(running_chats(), counts, counts)
def test_a_chat_costs_no_more_than_its_account_has(chat: Chat, left: int, late: int) -> None:
    """If its credits end while it burns, it stands still from then on, however late it is."""
    zero_at = chat.since_ms + left
    snapshot = chat_snapshot(chat, chat.since_ms)
    late_now = chat_now(snapshot, zero_at + late, zero_at)
    if burns(chat, zero_at):
        assert late_now == chat_now(snapshot, zero_at, zero_at)
        assert late_now.left_ms == 0
    else:
        assert late_now == chat_now(snapshot, zero_at + late, None)


def test_a_chat_stops_at_its_limit() -> None:
    """And is shown with the time that it has until then."""
    chat = chat_at("c", "u", 0)._replace(max_ms=1_000, rate_micro=60_000_000)
    snapshot = chat_snapshot(chat, 0)
    assert chat_now(snapshot, 400, None).left_ms == 600
    stopped = chat_now(snapshot, 5_000, None)
    assert (stopped.snapshot["active_ms"], stopped.snapshot["cost"]) == (1_000, "1.000000")


def _shown(cost: str, active_ms: int, burn_micro: int, left_ms: int | None) -> ChatNow:
    return ChatNow({"cost": cost, "active_ms": active_ms}, burn_micro, left_ms)


def test_each_key_has_an_order_and_the_first_chat_has_most_of_it() -> None:
    """Of the time left, least; chats that go on for ever come last."""
    newest, dear, old, hot, short = chats = [
        _shown("1.000000", 1, 1, None),
        _shown("10.000000", 2, 2, None),
        _shown("2.000000", 9, 3, 5_000),
        _shown("3.000000", 3, 9, 4_000),
        _shown("4.000000", 4, 4, 0),
    ]
    firsts = {"n": newest, "c": dear, "t": old, "b": hot, "l": short}
    assert {key: ordered(chats, KEYS[key])[0] for key in KEYS} == firsts
    assert ordered(chats, KEYS["l"])[-2:] == [newest, dear]


@pytest.mark.acceptance
@pytest.mark.ray
def test_a_screen_with_keys(live: LiveDaemon) -> None:
    """A running chat costs something, c puts the dearest first, q leaves the terminal as it was."""
    with Meter(live.redis_url) as meter:
        meter.top_up("screen-user", "1000")
        for name, rate in (("screen-dear", 600), ("screen-cheap", 60)):
            meter.start(name, "screen-user", "a", rate=rate)
    live.until_handled()
    with in_terminal(live.env, "top", "--every-s", "0.2") as terminal:
        terminal.read_until("Open chats by newest")
        terminal.read_until(r"screen-dear.*running")
        terminal.press("c")
        found = terminal.read_until(  # with chats of other tests in between
            r"Open chats by cost(.*\n)*?.*screen-dear.*\n(.*\n)*?.*screen-cheap[^\n]* \d+\.\d{6}"
        )
        (dear, most), (cheap, least) = re.findall(
            r"screen-(dear|cheap)[^\n]*? (\d+\.\d{6})", found
        )[-2:]
        assert (dear, cheap) == ("dear", "cheap"), "a line may have been half read"
        assert float(most) > float(least) > 0
        terminal.press("q")
        assert terminal.process.wait(timeout=scaled(10)) == 0
        assert termios.tcgetattr(terminal.side)[3] & termios.ICANON
    with Meter(live.redis_url) as meter:
        for name in ("screen-dear", "screen-cheap"):
            meter.end(name)


@pytest.mark.slow
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
    (mine,) = (chat for chat in told["chats"] if chat["chat_id"] == "top-chat")
    assert mine["cost"] > "0.000000"
    assert mine["billed_ms"] == mine["active_ms"] > 0
    lines = live.run("top", "--times", "2", "--every-s", "0.1").stdout.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("state=ready") for line in lines)
