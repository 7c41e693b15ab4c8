"""Parts of the operations page by themselves, in the browser: what it makes of any answer."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from playwright.sync_api import JSHandle, Page

from daemon.console.chat_now import chat_now
from meterd.rules.model import Chat
from meterd.rules.money import format_micro
from meterd.rules.snapshots import chat_snapshot
from tests.browser.chats import CHATS, LONG_MS, SHORT, T0, account_of

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.acceptance, pytest.mark.timeout(180)]

STATES = (
    *("ready", "starting", "recovering", "standby", "degraded", "stopping", "restarting"),
    *("held", "lost", "down", "from a later version"),
)
DIGITS = st.integers(0, 9)


def _module(blank: Page, name: str) -> JSHandle:
    return blank.evaluate_handle(f"import('/static/{name}.js')")


def _verdict(blank: Page, status: dict[str, Any]) -> dict[str, Any]:
    module = _module(blank, "ops-verdict")
    found: dict[str, Any] = module.evaluate("(m, status) => m.verdictOf(status)", status)
    return found


@pytest.mark.parametrize("state", STATES)
def test_only_ready_without_an_alarm_is_good(blank: Page, state: str) -> None:
    """Whatever else a state is called, it is not green; what nobody knows is red."""
    verdict = _verdict(blank, {"state": state})
    assert verdict["state"] == state[0].upper() + state[1:]
    assert (verdict["worst"] == "good") == (state == "ready")
    assert verdict["worst"] == ("bad" if state in STATES[-4:] else verdict["tone"])


@pytest.mark.parametrize(("severity", "tone"), [("warning", "warn"), ("critical", "bad")])
def test_an_alarm_colours_the_verdict(blank: Page, severity: str, tone: str) -> None:
    """The state keeps its own colour."""
    alarms = [{"name": "M", "severity": "warning"}, {"name": "N", "severity": severity}]
    verdict = _verdict(blank, {"state": "ready", "alarms": alarms})
    assert (verdict["tone"], verdict["worst"]) == ("good", tone)


def test_a_recovery_says_how_far_it_is(blank: Page) -> None:
    """With what to do, why, and how often actors were started again."""
    status = {
        "state": "recovering", "state_since": T0, "why": "chats are placed", "next_step": "Wait.",
        "recovery": {"chats_done": 120, "chats_total": 5_000}, "actor_restarts": 3,
    }  # fmt: skip
    assert _verdict(blank, status) == {
        "state": "Recovering", "tone": "warn", "worst": "warn", "since": T0,
        "why": "chats are placed", "next": "Wait.", "progress": {"done": 120, "total": 5_000},
        "restarts": 3,
    }  # fmt: skip


def test_the_line_says_how_far_a_recovery_is(ops: Page) -> None:
    """In words and as a bar; what to do and why stand beside it, and the tab has the state."""
    status = {
        "state": "recovering", "state_since": T0, "now": T0 + 65_000, "why": "chats are placed",
        "next_step": "Wait.", "environment": "somewhere", "version": "9.8.7", "actor_restarts": 3,
        "recovery": {"chats_done": 120, "chats_total": 5_000},
    }  # fmt: skip
    script = """async (status) => {
      const { Verdict } = await import("/static/ops-verdict.js");
      new Verdict().show(status);
      const bar = document.querySelector("progress");
      return [document.getElementById("verdict").innerText, bar.value, bar.max, document.title];
    }"""
    text, done, total, title = ops.evaluate(script, status)
    said = " ".join(text.split())
    for part in (
        "Recovering Chats are placed", "since 14 Nov 2023, 22:13:20.000 UTC (1 min 5 s)",
        "Environment somewhere", "Version 9.8.7", "Actor restarts 3", "What to do: Wait.",
        "120 of 5,000 chats placed",
    ):  # fmt: skip
        assert part in said
    assert (done, total, title) == (120, 5_000, "Recovering · somewhere · meterd")


def test_a_daemon_that_says_less_has_a_verdict_too(blank: Page) -> None:
    """What an older one, or none, does not say is not known; restarts are counted."""
    old = {"state": "ready", "why": "", "actors": [{"restarts": 2}, {"restarts": 1}, {}]}
    verdict = _verdict(blank, old)
    assert verdict.pop("restarts") == 3
    assert {name for name, value in verdict.items() if value is not None} == {
        "state", "tone", "worst",
    }  # fmt: skip
    assert _verdict(blank, {})["tone"] == "bad"


def test_a_view_stands_on_an_answer_without_fields(blank: Page) -> None:
    """Every figure is a dash, no line is drawn, and nothing is thrown."""
    script = """async () => {
      const page = document.createElement("div");
      page.innerHTML = '<ul id="tiles"></ul><div id="actors-card"><div id="actors"></div></div>';
      document.body.append(page);
      const { Tiles } = await import("/static/ops-tiles.js");
      const { showActors } = await import("/static/ops-actors.js");
      const tiles = new Tiles();
      tiles.show({ state: "down", now: 1_700_000_000_000 });
      showActors({});
      tiles.lose();
      const numbers = [...page.querySelectorAll(".number")].map((each) => each.textContent);
      page.remove();
      return numbers;
    }"""
    numbers = blank.evaluate(script)
    assert numbers == ["–"] * 11


def test_what_was_known_last_is_shown_while_nobody_answers(blank: Page) -> None:
    """A page that is opened when the daemon is down has the history's last value, and its time."""
    script = """async ([now, history]) => {
      const page = document.createElement("div");
      page.innerHTML = '<ul id="tiles"></ul>';
      document.body.append(page);
      const { Tiles } = await import("/static/ops-tiles.js");
      const tiles = new Tiles();
      tiles.show({ state: "down", now, queue: { lag: 3 } });
      tiles.keep(history);
      const texts = [...page.querySelectorAll(".tile")].map((tile) => [
        tile.querySelector("h3").textContent,
        tile.querySelector(".number").textContent,
        tile.querySelector(".note").textContent,
      ]);
      page.remove();
      return texts;
    }"""
    series = {"open_chats": [7, 8, None], "queue_lag": [1, 2, 3]}
    history = {"from": T0 - 30_000, "step_ms": 10_000, "series": series}
    found = {label: (number, note) for label, number, note in blank.evaluate(script, [T0, history])}
    assert found["Open chats"] == ("8", "as of 14 Nov 2023, 22:13:00.000 UTC")
    assert found["Commands not read yet"] == ("3", "")
    assert found["Dead letters"] == ("–", "")


@given(CHATS, st.integers(0, LONG_MS), st.integers(0, 2 * LONG_MS))
def test_a_chat_is_carried_on_as_by_the_rules(
    blank: Page, chat: Chat, later_ms: int, max_ms: int
) -> None:
    """To its limit; time and billed time to the millisecond, cost as `meterd top` has it."""
    limit = max_ms and chat.active_ms + max_ms
    _is_carried_on(blank, chat._replace(max_ms=limit), None, T0 + later_ms)


@given(SHORT, st.integers(0, 10**4), st.integers(0, 2_000))
def test_a_chat_stops_when_its_credits_end(
    blank: Page, chat: Chat, credit: int, later_ms: int
) -> None:
    """As the daemon will decide, though it has not said so yet."""
    end_ms = account_of([chat], credit).zero_at_ms
    _is_carried_on(blank, chat, end_ms, T0 + later_ms)


def _is_carried_on(blank: Page, chat: Chat, end_ms: int | None, now_ms: int) -> None:
    snapshot = chat_snapshot(chat, T0)
    expected = chat_now(snapshot, now_ms, end_ms)
    script = """async (a) => {
      const { chatNow } = await import("/static/ops-now.js");
      const { activeMs, billedMs, cost, leftMs } = chatNow(...a);
      return [activeMs, billedMs, String(cost), leftMs];
    }"""
    active_ms, billed_ms, cost, left_ms = blank.evaluate(script, [snapshot, end_ms, now_ms])
    assert active_ms == expected.snapshot["active_ms"]
    assert billed_ms == expected.snapshot["billed_ms"]
    assert format_micro(int(cost)) == expected.snapshot["cost"]
    assert left_ms == expected.left_ms


@given(st.integers(0, 10**12))
def test_a_scale_holds_its_values_and_is_round(blank: Page, value: int) -> None:
    """It is the least of 1, 2, 5, 10, 20, … that is not below."""
    top = _module(blank, "ops-plot").evaluate("(m, value) => m.roundUp(value)", value)
    assert re.fullmatch("[125]0*", str(int(top)))
    assert value <= top
    assert top == 1 or top < max(2.5 * value, 2)


@given(
    st.lists(st.none() | st.integers(0, 9), max_size=30), st.lists(st.integers(0, 9), max_size=9)
)
def test_a_line_goes_on_where_the_daemons_history_ends(
    blank: Page, kept: list[int | None], seen: list[int]
) -> None:
    """What it has kept comes first, each value once, in order, and nothing older than an hour."""
    begin = T0 - len(kept) * 10_000
    history = {"from": begin, "step_ms": 10_000, "series": {"outbox": kept}}
    script = """async ([history, seen, now]) => {
      const { Series } = await import("/static/ops-series.js");
      const series = new Series();
      seen.forEach((value, index) => series.see("outbox", now + (index + 1) * 10_000, value));
      series.keep(history);
      const end = now + seen.length * 10_000;
      return [series.points("outbox", end), series.points("unknown", end)];
    }"""
    points, unknown = blank.evaluate(script, [history, seen, T0])
    while kept and kept[-1] is None:
        kept.pop()  # nothing is known there; what the page has seen itself comes next
    assert [point["value"] for point in points] == [*kept, *seen]
    assert [point["at"] for point in points] == sorted(point["at"] for point in points)
    assert unknown == []
