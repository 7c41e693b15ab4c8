"""Start, stop, kill, start again: running chats go on to the millisecond, nothing is left."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtests.common.live import LiveDaemon, live_daemon
from loadtests.common.timeouts import READY_TIMEOUT_S, scaled
from meterd import Meter

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.acceptance, pytest.mark.timeout(300)]

STOP_S_MAX = 10


@pytest.fixture(scope="module")
def daemon() -> Iterator[LiveDaemon]:
    with live_daemon() as running:
        yield running


def test_status_says_what_the_contract_says(daemon: LiveDaemon) -> None:
    """``ready`` with the addresses, exit 0; in another home: not ready, exit 1."""
    ready = daemon.run("status", "--json")
    told = json.loads(ready.stdout)
    assert (ready.returncode, told["state"]) == (0, "ready")
    assert told["redis_url"].startswith("redis://")
    assert told["postgres_url"].startswith("postgresql://")
    assert "http_url" in told
    assert {"name", "pid", "chats", "chat_ids"} <= told["actors"][0].keys()
    other = LiveDaemon(daemon.home.parent / "nobody-here", {})
    down = other.run("status", "--json")
    assert down.returncode == 1
    assert json.loads(down.stdout)["state"] == "down"


def test_the_ready_line_says_what_runs_where_and_no_password(daemon: LiveDaemon) -> None:
    daemon.until(lambda: "stop with Ctrl-C" in daemon.output())
    told = daemon.output()
    assert "meterd is ready." in told
    for what in ("redis://", "postgresql://", "ray", "actors", str(daemon.home)):
        assert what in told
    secrets = (daemon.home / "servers.json").read_text()
    for secret in json.loads(secrets).values():
        assert secret["password"] not in told


def test_a_start_on_a_warm_spare_waits_for_no_process(daemon: LiveDaemon) -> None:
    """The chat is on a process that was there before."""
    daemon.until(lambda: any(a["up"] and not a["chats"] for a in daemon.published()["actors"]))
    before = {a["pid"] for a in daemon.status()["actors"] if a["up"]}
    with Meter(daemon.redis_url) as meter:
        meter.top_up("warm", "10")
        meter.start("warm-chat", "warm", "v")
    daemon.until(lambda: "warm-chat" in _placed(daemon))
    assert _placed(daemon)["warm-chat"] in before


def _placed(daemon: LiveDaemon) -> dict[str, int]:
    return {c: a["pid"] for a in daemon.published()["actors"] for c in a["chat_ids"]}


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_running_chat_goes_on_to_the_millisecond(daemon: LiveDaemon, how: str) -> None:
    """Over SIGTERM and over SIGKILL: its time is end − start, exactly, and so is its cost."""
    user, chat = f"user-{how}", f"chat-{how}"
    with Meter(daemon.redis_url) as meter:
        meter.top_up(user, "1000")
        meter.start(chat, user, "v", rate="60")
    {"stop": _stop, "kill": _kill}[how](daemon)
    daemon.start()
    with Meter(daemon.redis_url) as meter:
        ended = meter.end(chat).snapshot
    assert ended is not None
    assert ended.ended_at is not None
    assert ended.started_at is not None
    assert ended.active_ms == ended.ended_at - ended.started_at > 0
    assert ended.paused_ms == 0
    assert str(ended.cost) == f"{ended.active_ms / 1000:.6f}"


def _stop(daemon: LiveDaemon) -> None:
    pids = _processes(daemon)
    began = time.monotonic()
    assert daemon.stop() == 0, daemon.output()
    assert time.monotonic() - began < STOP_S_MAX
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()], "something is left"
    assert not (daemon.home / "run.json").exists()


def _kill(daemon: LiveDaemon) -> None:
    daemon.kill()
    assert daemon.run("status", "--json").returncode == 1, "at once, not when its word expires"


def _processes(daemon: LiveDaemon) -> list[int]:
    return [a["pid"] for a in daemon.status()["actors"] if a["pid"]]


def test_a_daemon_is_not_ready_by_the_word_of_one_that_was_killed(daemon: LiveDaemon) -> None:
    """What the killed one published last is still in Redis when the next one starts."""
    killed = daemon.status()["pid"]
    daemon.kill()
    daemon.launch()
    deadline = time.monotonic() + scaled(READY_TIMEOUT_S)
    while (told := daemon.run("status", "--json")).returncode:
        assert time.monotonic() < deadline, daemon.output()
    assert json.loads(told.stdout)["pid"] != killed


def test_due_changes_happen_by_themselves_and_exactly(daemon: LiveDaemon) -> None:
    """Nobody sends anything: the warning, then both chats end in the computed millisecond."""
    with Meter(daemon.redis_url) as meter:
        meter.top_up("due", "1")
        first = meter.start("due-1", "due", "v", rate="12").snapshot
        second = meter.start("due-2", "due", "v", rate="6").snapshot
        assert first is not None
        assert second is not None
        daemon.until(lambda: meter.snapshot("due-1").status == "ended", timeout_s=20)
        one, two = meter.snapshot("due-1"), meter.snapshot("due-2")
    alone_ms = (second.started_at or 0) - (first.started_at or 0)
    # 200 micro-credits a millisecond alone, 300 together, out of a million.
    together_ms = (1_000_000 - 200 * alone_ms) // 300
    assert one.ended_at == two.ended_at == (second.started_at or 0) + together_ms
    assert (one.end_reason, two.end_reason) == ("credits_exhausted", "credits_exhausted")


def test_an_actor_that_dies_with_nothing_to_do_is_replaced_and_its_chat_ends_in_time(
    daemon: LiveDaemon,
) -> None:
    """SIGKILL of a chat's actor; nobody sends anything; the credits end at their millisecond."""
    with Meter(daemon.redis_url) as meter:
        meter.top_up("lone", "2")
        started = meter.start("lone-chat", "lone", "v", rate="60").snapshot
        assert started is not None
        daemon.until(lambda: "lone-chat" in _placed(daemon))
        os.kill(_placed(daemon)["lone-chat"], signal.SIGKILL)
        daemon.until(lambda: meter.snapshot("lone-chat").status == "ended", timeout_s=30)
        ended = meter.snapshot("lone-chat")
    assert ended.ended_at == (started.started_at or 0) + 2_000
    assert sum(actor["restarts"] for actor in daemon.status()["actors"]) > 0


def test_the_daemons_output_has_each_loss_and_replacement_and_one_banner() -> None:
    """SIGKILL of an actor: one warning, one line when it is back, no second start."""
    with live_daemon(METERD_HTTP__PORT="0") as own:
        own.until(lambda: bool(own.published()["actors"]))
        os.kill(own.published()["actors"][0]["pid"], signal.SIGKILL)
        own.until(lambda: '"actor.replaced"' in own.output())
        printed = own.output()
    for what in ("meterd is ready.", '"actor.lost"', '"actor.replaced"'):
        assert printed.count(what) == 1, what
