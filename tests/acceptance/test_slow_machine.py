"""A slow or busy machine is no error: the daemon takes longer, and loses nothing.

Both tests run the installed command on embedded servers. They are short, and they stop what they
have started.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from loadtests.common.live import LiveDaemon, launched_daemon, live_daemon
from meterd import Meter

pytestmark = [
    pytest.mark.ray,
    pytest.mark.acceptance,
    pytest.mark.slow,
    pytest.mark.alone,
    pytest.mark.timeout(900),
]

BUSY_PROCESSES = 40
READY_S_MAX = 420
STAYS_UP_S = 20
REPLY_S = 60.0

CPU_GROUPS = (Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup"))
"""Where version 1 and version 2 of control groups have the CPU's."""
PERIOD_US = 100_000
HALF_A_CORE_US = PERIOD_US // 2


@contextlib.contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """So many processes that do nothing but compute; they end with this process at the latest."""
    code = f"import os\nwhile os.getppid() == {os.getpid()}: sum(range(10000))"
    running = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(count)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
        for process in running:
            process.wait()


@contextlib.contextmanager
def half_a_core() -> Iterator[Path]:
    """A control group with half a core, removed afterwards; skips where none can be made."""
    made = next(filter(None, map(_group_in, CPU_GROUPS)), None)
    if made is None:
        pytest.skip("no control group with a CPU quota can be made here")
    try:
        yield made
    finally:
        _remove(made)


def _group_in(parent: Path) -> Path | None:
    group = parent / f"meterd-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError:
        return None
    try:
        if (group / "cpu.cfs_quota_us").exists():
            (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
            (group / "cpu.cfs_quota_us").write_text(str(HALF_A_CORE_US))
        else:
            (group / "cpu.max").write_text(f"{HALF_A_CORE_US} {PERIOD_US}")
    except OSError:
        group.rmdir()
        return None
    return group


def _remove(group: Path) -> None:
    """A group can be removed when its last process is gone."""
    deadline = time.monotonic() + 30
    while True:
        try:
            group.rmdir()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@contextlib.contextmanager
def started(group: Path | None = None) -> Iterator[LiveDaemon]:
    """A daemon that is given minutes to start, in a control group if one is given."""
    with launched_daemon() as daemon:
        assert daemon.process is not None
        if group is not None:
            (group / "cgroup.procs").write_text(str(daemon.process.pid))
        daemon.until(daemon.is_ready, READY_S_MAX)
        yield daemon


def billed(daemon: LiveDaemon, name: str) -> None:
    """One chat from start to end."""
    with Meter(daemon.redis_url) as meter:
        meter.top_up(f"user-{name}", "10", timeout_s=REPLY_S)
        meter.start(f"chat-{name}", f"user-{name}", "v", rate="60", timeout_s=REPLY_S)
        ended = meter.end(f"chat-{name}", timeout_s=REPLY_S).snapshot
    assert ended is not None
    assert ended.status == "ended"


def log_lines(daemon: LiveDaemon, event: str) -> list[dict[str, Any]]:
    """The daemon's log lines of one event."""
    text = (daemon.home.parent / f"{daemon.home.name}.out").read_text()
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == event]


def test_a_busy_machine_is_ready_without_an_engine_lost() -> None:
    """40 busy processes: `meterd up` gets ready with its first engine."""
    with busy_processes(BUSY_PROCESSES), started() as daemon:
        billed(daemon, "busy")
        assert not log_lines(daemon, "engine.lost")
        assert len(log_lines(daemon, "ray.starting")) == 1


def test_half_a_core_is_enough_to_get_ready_handle_commands_and_stay_up() -> None:
    """A quota of half a core for everything the daemon starts."""
    with half_a_core() as group, started(group) as daemon:
        billed(daemon, "first")
        process = daemon.process
        assert process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STAYS_UP_S)
        assert process.poll() is None, "it has ended by itself"
        billed(daemon, "second")
        assert not log_lines(daemon, "engine.lost")


def test_limits_that_are_too_short_are_doubled_until_they_are_enough() -> None:
    """No engine counts as failed, whatever it takes; meanwhile the status says what is awaited."""
    short = {"METERD_RAY__START_TIMEOUT_MS": "1000", "METERD_ACTORS__START_TIMEOUT_MS": "250"}
    with launched_daemon(**short) as daemon:
        daemon.until(lambda: _is_awaited(daemon.status().get("why", "")), READY_S_MAX)
        daemon.until(daemon.is_ready, READY_S_MAX)
        billed(daemon, "patient")
        limits = [line["limit_ms"] for line in log_lines(daemon, "ray.starting")]
        assert limits == [1_000 * 2**number for number in range(len(limits))]
        assert [line["failures"] for line in log_lines(daemon, "engine.lost")] == [0] * (
            len(limits) - 1
        )
        supervisor = (daemon.home / "logs" / "supervisor.log").read_text()
        late = [*log_lines(daemon, "supervisor.start_timeout"), *limits[1:]]
        assert late or "actor.start_timeout" in supervisor, "nothing starts as fast as that"


def _is_awaited(why: str) -> bool:
    return all(part in why for part in ("waiting for ", "attempt ", "limit ", "log: "))


def test_what_ray_prints_is_in_its_file_and_not_between_the_lines_of_json() -> None:
    """At a stop, too, where Ray reports every ended worker at length."""
    with live_daemon() as daemon:
        billed(daemon, "quiet")
        assert daemon.stop() == 0
        said = (daemon.home.parent / f"{daemon.home.name}.out").read_text()
        assert "OOM" not in said
        assert "(raylet)" not in said
        assert "worker" in (daemon.home / "logs" / "ray.log").read_text()
