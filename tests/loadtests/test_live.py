"""Short runs as an operator starts them, on a real daemon."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import text

from loadtests.common.live import LiveDaemon, live_daemon
from loadtests.common.processes import (
    CHAT_ACTOR,
    ENGINE,
    GATEWAY,
    OTHER,
    POSTGRES,
    RAY,
    RECORDER,
    REDIS,
    SUPERVISOR,
    UP,
    Sampler,
    grouped,
)
from loadtests.common.timeouts import scaled
from loadtests.load.thresholds import COMMANDS, READS
from meterd.rules.redis_keys import Keys
from tests.audit_check import assert_clean

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.acceptance, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
OPEN = "SELECT count(*) FROM chat_time_records WHERE ended_at IS NULL"


@pytest.fixture(scope="module")
def daemon() -> Iterator[LiveDaemon]:
    with live_daemon() as running:
        yield running


def _load(daemon: LiveDaemon, out: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    """What ``make load`` does, on a daemon that runs already."""
    urls = {"REDIS_URL": daemon.redis_url, "POSTGRES_URL": daemon.postgres_url}
    return subprocess.run(
        [sys.executable, "-m", "loadtests.load", "--out", str(out), *options],
        cwd=ROOT, env={**os.environ, **{f"METERD_LOAD_{k}": v for k, v in urls.items()}},
        capture_output=True, text=True, timeout=scaled(200), check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def _figures(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "figures.json").read_text())
    return found


def _count_open(daemon: LiveDaemon) -> int:
    engine = daemon.engine()
    with engine.connect() as connection:
        found: int = connection.scalar(text(OPEN))
    engine.dispose()
    return found


def _lenient(tmp_path: Path, more: str = "") -> list[str]:
    """Thresholds that say nothing of speed, because tests share their machine."""
    path = tmp_path / "thresholds.yaml"
    path.write_text(f"overall:\n  error_rate_max: 0\n{more}")
    return ["--thresholds", str(path)]


def test_a_short_run_counts_every_command_and_the_books_balance(
    daemon: LiveDaemon, tmp_path: Path
) -> None:
    """Exit 0; nothing is refused, nothing left open, and the report has all of it."""
    out, counted = tmp_path / "out", "commands:\n" + "".join(
        f"  {name}: {{count_min: 1}}\n" for name in COMMANDS
    )  # fmt: skip
    assert daemon.process is not None
    with Sampler(daemon.process.pid, every_s=0.5) as sampler:
        done = _load(
            daemon, out, "--chats", "100", "--duration", "6s", "--rate", "60", "--notices", "6",
            *_lenient(tmp_path, counted),
        )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    figures = _figures(out)
    assert figures["problems"] == []
    assert set(figures["commands"]) == set(COMMANDS)
    assert set(figures["reads"]) == set(READS)
    assert figures["open_chats"] >= 100
    assert figures["notices"]["count"] > 0
    assert figures["audit"]["ok"]
    assert figures["audit"]["entries"] > figures["overall"]["count"]
    for name in ("report.html", "locust.html", "locust_stats.csv", "locust_stats_history.csv"):
        assert (out / name).stat().st_size > 500
    assert (out / "report.html").read_text().count("<svg") == 4
    for shown in ("chats open", "heartbeat", "late: idle", "Locust", "data in Redis", "audited"):
        assert shown in done.stdout
    assert _count_open(daemon) == 0
    engine = daemon.engine()
    assert_clean(engine, daemon.redis_url)
    engine.dispose()
    roles = grouped(sampler.between(0, 1e12))
    assert {
        UP,
        ENGINE,
        GATEWAY,
        SUPERVISOR,
        RECORDER,
        f"{CHAT_ACTOR}s",
        RAY,
        REDIS,
        POSTGRES,
    } == set(roles) - {OTHER}
    assert all(used.memory_bytes > 0 for used in roles.values() if used.processes)


def test_several_generators_are_one_run(daemon: LiveDaemon, tmp_path: Path) -> None:
    """They begin together, are added up, and leave nothing open; the audit is of all of them."""
    out = tmp_path / "out"
    done = _load(
        daemon, out, "--generators", "2", "--chats", "101", "--duration", "6s", "--rate", "60",
        "--notices", "3", *_lenient(tmp_path, "  throughput_of_asked_min: 0.5\n"),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    figures = _figures(out)
    parts = [_figures(out / f"generator-{number}") for number in (1, 2)]
    for name in ("count", "failures"):
        assert figures["overall"][name] == sum(part["overall"][name] for part in parts)
    begun_s = [part["measured_from_s"] for part in parts]
    assert max(begun_s) - min(begun_s) < 2
    assert figures["asked_per_s"] == 60
    assert figures["open_chats"] >= 101
    assert all(part["overall"]["count"] > 50 for part in parts)
    assert figures["audit"]["ok"]
    assert "Locust 2" in done.stdout
    assert _count_open(daemon) == 0


def test_a_broken_threshold_is_named_and_gives_exit_1(daemon: LiveDaemon, tmp_path: Path) -> None:
    done = _load(
        daemon, tmp_path / "out", "--chats", "5", "--duration", "2s", "--notices", "0",
        "--leave-open", "yes", *_lenient(tmp_path, "  latency_ms_p50_max: 0\n"),
    )  # fmt: skip
    assert done.returncode == 1
    assert _count_open(daemon) == 5
    assert "FAILED: overall.latency_ms_p50_max: found" in done.stdout
    assert _figures(tmp_path / "out")["audit"]["ok"]


def test_an_open_loop_sends_on_while_no_reply_comes(daemon: LiveDaemon, tmp_path: Path) -> None:
    """As many commands as were asked for, more than a closed loop would; the wait is measured."""
    out, stalled_s, chats = tmp_path / "out", 2.0, 600
    options = (
        "--loop", "open", "--rate", "100", "--in-flight", "1000", "--chats", str(chats),
        "--duration", "8s", "--notices", "0", *_lenient(tmp_path),
    )  # fmt: skip
    with ThreadPoolExecutor(1) as pool:
        ran = pool.submit(_load, daemon, out, *options)
        daemon.until(lambda: daemon.published()["open_chats"] >= chats, 60)
        pids = [actor["pid"] for actor in daemon.published()["actors"] if actor["pid"]]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        before = _sent(daemon)
        time.sleep(stalled_s)
        sent = _sent(daemon) - before
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        done = ran.result()
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert sent >= 0.7 * 100 * stalled_s
    assert _figures(out)["overall"]["latency_ms_p95"] >= 1_000 * stalled_s / 2


def test_an_open_loop_ends_when_too_many_commands_wait(daemon: LiveDaemon, tmp_path: Path) -> None:
    """What waits is bounded, and the message names the option."""
    done = _load(
        daemon, tmp_path / "out", "--loop", "open", "--rate", "5000", "--in-flight", "1",
        "--chats", "20", "--duration", "5s", "--notices", "0", *_lenient(tmp_path),
    )  # fmt: skip
    assert done.returncode == 1
    assert "1 commands wait for replies" in done.stdout
    assert "--in-flight" in done.stdout


def _sent(daemon: LiveDaemon) -> int:
    with daemon.client() as client:
        info: Any = client.xinfo_stream(Keys().commands)
    return int(info["entries-added"])


def test_no_command_at_all_gives_exit_1(daemon: LiveDaemon, tmp_path: Path) -> None:
    """Whatever the thresholds say; Locust itself would call it a success."""
    done = _load(
        daemon, tmp_path / "out", "--chats", "2", "--duration", "0.2s", "--rate", "1",
        "--notices", "0", "--frontends", "0", *_lenient(tmp_path),
    )  # fmt: skip
    assert done.returncode == 1
    assert _figures(tmp_path / "out")["overall"]["count"] == 0
    assert "FAILED: no command was measured at all" in done.stdout


def test_a_bad_thresholds_file_starts_nothing(daemon: LiveDaemon, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("overall: {p99: 1}")
    done = _load(daemon, tmp_path / "out", "--thresholds", str(path))
    assert done.returncode == 2
    assert "overall.p99: there is no such name here; known are" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_redis_that_is_away_is_named_without_its_password(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "loadtests.load", "--out", str(tmp_path / "out")],
        cwd=ROOT, env={**os.environ, "METERD_LOAD_REDIS_URL": "redis://:hush@127.0.0.1:1/0"},
        capture_output=True, text=True, timeout=scaled(60), check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "Redis does not answer at redis://" in done.stderr
    assert "hush" not in done.stderr


def test_a_generator_that_was_killed_ends_the_run(daemon: LiveDaemon, tmp_path: Path) -> None:
    """The others would wait for it for ever; what they have opened is ended."""
    out, before = tmp_path / "out", _count_open(daemon)
    with ThreadPoolExecutor(1) as pool:
        ran = pool.submit(
            _load, daemon, out, "--generators", "2", "--chats", "1000", "--start-rate", "20",
            "--notices", "0", *_lenient(tmp_path),
        )  # fmt: skip
        daemon.until(lambda: daemon.published()["open_chats"] >= before + 10, 60)
        killed = _generator(out / "generator-2")
        killed.kill()
        done = ran.result()
    assert done.returncode == 1
    assert "Locust ended without figures" in done.stderr
    first = _figures(out / "generator-1")
    assert "it was stopped by SIGTERM" in first["problems"]
    assert 0 < _count_open(daemon) - before < 500, "those of the one that was killed"


def _generator(out: Path) -> psutil.Process:
    """The Locust process that writes to a folder."""
    (found,) = [
        one for one in psutil.process_iter(["cmdline"])
        if str(out / "locust.log") in (one.info["cmdline"] or ())
    ]  # fmt: skip
    return found
