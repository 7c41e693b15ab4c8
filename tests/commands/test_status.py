"""``meterd status`` as a person reads it."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtests.common.live import KEYS, LiveDaemon
from meterd import Meter
from tests.servers import free_port, redis_server

pytestmark = [pytest.mark.acceptance, pytest.mark.ray, pytest.mark.timeout(180)]


def test_status_says_how_long_commands_take(live: LiveDaemon, name: str) -> None:
    """As soon as there was one; in the buckets that programs get."""
    with Meter(live.redis_url) as meter:
        meter.top_up(name, "1")
    live.until(lambda: live.published()["commands"].get("top_up", {}).get("ok", 0) > 0)
    told = live.run("status").stdout
    assert re.search(r"latency +half of all commands [≤>] \d+ ms, 99 in 100 [≤>] \d+ ms", told)


def test_status_says_since_when_and_what_is_wrong(live: LiveDaemon) -> None:
    """A person at night reads no JSON; what is there to do stands beside it."""
    with live.client() as client:
        client.xadd(KEYS.commands, {"type": "nonsense"})
        live.until(lambda: live.published()["queue"]["dead"] > 0)
    told = live.run("status").stdout
    assert re.search(r"^state +ready\b", told, re.MULTILINE)
    assert re.search(r"^since +\d{4}-\d\d-\d\dT[\d:.]+\S*, [\d a-z]+$", told, re.MULTILINE)
    assert re.search(r"^alarm +MeterdDeadLetters +entries were set aside", told, re.MULTILINE)
    assert re.search(r"^version +\d+\.\d+", told, re.MULTILINE)
    assert "to do" not in told, "nothing, while it is ready"


def test_status_says_what_to_do_where_nothing_runs(tmp_path: Path) -> None:
    told = LiveDaemon(tmp_path / "home", {}).run("status").stdout
    assert re.search(r"^to do +Start it with: meterd up", told, re.MULTILINE)
    assert re.search(r"^alarm +MeterdNotReady", told, re.MULTILINE)


WAIT = "they wait in the queue"
NOT_BEFORE_UP = "none can be sent until: meterd up"
NOT_BEFORE_REDIS = "none can be sent until Redis answers"


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with redis_server() as url:
        yield url


def _alarm(daemon: LiveDaemon) -> str:
    """What status says of commands; JSON has the same."""
    (told,) = re.findall(
        r"^alarm +MeterdNotReady +(.*)$", daemon.run("status").stdout, re.MULTILINE
    )
    summaries = {alarm["name"]: alarm["summary"] for alarm in daemon.status()["alarms"]}
    assert summaries["MeterdNotReady"] == told
    return str(told)


def _ended(daemon: LiveDaemon, redis_url: str) -> None:
    """Leave what a daemon leaves that was killed."""
    gone = subprocess.Popen(["true"])
    gone.wait()
    left = {"pid": gone.pid, "redis_url": redis_url, "postgres_url": "", "http_url": ""}
    daemon.home.mkdir()
    (daemon.home / "run.json").write_text(json.dumps(left))


def test_commands_wait_only_where_they_can_be_sent(tmp_path: Path, redis_url: str) -> None:
    """In a Redis that answers; without it nothing can be sent, and what helps is named."""
    away = f"redis://127.0.0.1:{free_port()}/0"
    assert NOT_BEFORE_UP in _alarm(LiveDaemon(tmp_path / "none", {}))
    assert WAIT in _alarm(LiveDaemon(tmp_path / "up", {"METERD_REDIS__URL": redis_url}))
    without = LiveDaemon(tmp_path / "away", {"METERD_REDIS__URL": away})
    assert NOT_BEFORE_REDIS in _alarm(without)
    assert without.run("send", "end", "chat_id=c").returncode == 1


def test_after_a_kill_commands_wait_if_the_servers_still_run(
    tmp_path: Path, redis_url: str
) -> None:
    """The servers that meterd starts outlive a daemon that was killed, or they do not."""
    kept, lost = LiveDaemon(tmp_path / "kept", {}), LiveDaemon(tmp_path / "lost", {})
    _ended(kept, redis_url)
    _ended(lost, f"redis://127.0.0.1:{free_port()}/0")
    assert WAIT in _alarm(kept)
    assert NOT_BEFORE_UP in _alarm(lost)
    for daemon in (kept, lost):
        assert "has ended" in daemon.run("status").stdout


def test_without_the_redis_of_a_daemon_that_runs_nothing_can_be_sent(tmp_path: Path) -> None:
    """It goes on by itself when Redis answers: nobody has to start it."""
    daemon = LiveDaemon(tmp_path / "home", {})
    _ended(daemon, f"redis://127.0.0.1:{free_port()}/0")
    left = json.loads((daemon.home / "run.json").read_text())
    (daemon.home / "run.json").write_text(json.dumps({**left, "pid": os.getpid()}))
    assert NOT_BEFORE_REDIS in _alarm(daemon)
