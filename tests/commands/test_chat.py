"""``meterd chat``: any chat has a history, and one that never was has an answer."""

import json
import re
from decimal import Decimal

import pytest

from loadtests.common.live import LiveDaemon
from meterd import Meter, NotRunningError

pytestmark = [pytest.mark.acceptance, pytest.mark.ray, pytest.mark.timeout(180)]


@pytest.fixture
def told(live: LiveDaemon, name: str) -> str:
    """A chat with a past: its id."""
    with Meter(live.redis_url) as meter:
        meter.top_up(name, "5", id=f"{name}-top-up")
        meter.start(name, name, "a", rate=60, id=f"{name}-start")
        meter.pause(name, id=f"{name}-pause")
        meter.pause(name, id=f"{name}-pause")
        with pytest.raises(NotRunningError):
            meter.pause(name, id=f"{name}-late")
        meter.set_rate(name, "0.5", id=f"{name}-rate")
        meter.resume(name, id=f"{name}-resume")
        meter.end(name, "left", id=f"{name}-end")
    live.until_handled()
    return name


def test_a_story_for_a_program(live: LiveDaemon, told: str) -> None:
    """Every change, refused and repeated commands too, with what it cost by then."""
    asked = live.run("chat", told, "--json")
    assert asked.returncode == 0, asked.stderr
    found = json.loads(asked.stdout)
    assert set(found) == {"snapshot", "history", "archives"}
    assert found["snapshot"]["status"] == "ended"
    history = [line for line in found["history"] if line["event"] != "credits.low"]
    assert [(line["event"], line["id"].removeprefix(f"{told}-")) for line in history] == [
        ("chat.started", "start"),
        ("chat.paused", "pause"),
        ("repeated", "pause"),
        ("refused", "late"),
        ("chat.rate_changed", "rate"),
        ("chat.resumed", "resume"),
        ("chat.ended", "end"),
    ]
    assert history[3]["outcome"] == "not_running"
    assert history[-1]["why"].endswith("reason=left")
    for name in ("cost", "active_ms"):
        assert history[-1][name] == found["snapshot"][name]
    assert history[-1]["at"] == found["snapshot"]["ended_at"]


def test_a_history_for_a_person(live: LiveDaemon, told: str) -> None:
    """How it stands, the history, the record; plain in a pipe."""
    asked = live.run("chat", told)
    assert asked.returncode == 0, asked.stderr
    top, history, record = asked.stdout.replace("\nRecord", "\nHistory").split("\nHistory\n")
    assert "status        ended" in top
    assert "refused" in history
    assert "source        live" in record
    assert "\x1b" not in asked.stdout


def test_what_time_alone_did_is_told(live: LiveDaemon, name: str) -> None:
    """Idle, and the end of the credits, each at its millisecond and with the cost at it."""
    with Meter(live.redis_url) as meter:
        meter.top_up(name, "0.012")
        started = meter.start(name, name, "a", rate=6, idle_ms=100).at
        meter.top_up(name, "0.003")
        live.until(lambda: meter.snapshot(name).status == "paused")
        resumed = meter.heartbeat(name).at
        live.until(lambda: meter.snapshot(name).status == "ended")
    live.until_handled()
    history = json.loads(live.run("chat", name, "--json").stdout)["history"]
    assert "wallet.topped_up" in [line["event"] for line in history]
    assert [
        (line["event"], line["at"], line["cost"])
        for line in history
        if line["entry"] is None and line["event"] != "credits.low"
    ] == [
        ("chat.paused", started + 100, "0.010000"),
        ("credits.exhausted", resumed + 50, "0.015000"),
        ("chat.ended", resumed + 50, "0.015000"),
    ]


def test_a_running_chat_shows_its_clock(live: LiveDaemon, name: str) -> None:
    """As it is now, not as it was at its last change."""
    with Meter(live.redis_url) as meter:
        meter.start(name, name, "a", rate=0)
        asked = live.run("chat", name)
        meter.end(name)
    assert asked.returncode == 0, asked.stderr
    facts = dict(line.split(None, 1) for line in asked.stdout.splitlines()[:20] if line)
    assert re.fullmatch(r"0\.\d+ s|[1-9]\d*(\.\d+)? s", facts["active"])
    assert "active_ms" not in facts


def test_a_running_chat_shows_what_it_costs_now(live: LiveDaemon, name: str) -> None:
    """Active and billed time and cost grow while it runs, though its snapshot stands still."""
    with Meter(live.redis_url) as meter:
        meter.top_up(name, "100")
        meter.start(name, name, "a", rate=600)
        assert meter.snapshot(name).cost == 0
        found = [_facts(live, name) for _ in range(2)]
        meter.end(name)
    costs = [Decimal(facts["cost"].removesuffix(" credits")) for facts in found]
    assert 0 < costs[0] < costs[1]
    assert all(facts["billed"] == facts["active"] != "0 s" for facts in found)


def _facts(live: LiveDaemon, chat_id: str) -> dict[str, str]:
    """How it stands, by name."""
    asked = live.run("chat", chat_id)
    assert asked.returncode == 0, asked.stderr
    top = asked.stdout.partition("\nHistory")[0]
    return dict(line.split(None, 1) for line in top.splitlines() if line)


def test_a_chat_that_never_started(live: LiveDaemon, name: str) -> None:
    """Is an answer, not an error."""
    asked = live.run("chat", name)
    assert (asked.returncode, asked.stderr) == (0, "")
    assert asked.stdout == f"{name} never started: no start of it has been accepted.\n"
    found = json.loads(live.run("chat", "what is this?", "--json").stdout)
    assert found["snapshot"]["status"] == "not_started"
    assert found["history"] == []


def test_a_chat_that_only_postgres_has(live: LiveDaemon, told: str) -> None:
    """A day after its end it has left Redis; its history is the same."""
    with live.client() as client:
        assert client.delete("meterd:{0}:chat:" + told) == 1
    found = json.loads(live.run("chat", told, "--json").stdout)
    assert found["snapshot"]["status"] == "ended"
    assert found["history"][-1]["event"] == "chat.ended"
