"""A slow or busy machine is no error: the daemon takes longer, and loses nothing.

Both tests run the installed command on embedded servers. They are short, and they stop what they
have started.
"""

import contextlib
import subprocess
from collections.abc import Iterator

import pytest

from loadtests.common.live import LiveDaemon, launched_daemon, live_daemon
from meterd import Meter
from tests.acceptance.slow import (
    BUSY_PROCESSES,
    HALF_A_CORE_US,
    CpuGroup,
    busy_processes,
    cpu_group,
    log_lines,
)

pytestmark = [
    pytest.mark.ray,
    pytest.mark.acceptance,
    pytest.mark.slow,
    pytest.mark.alone,
    pytest.mark.timeout(900),
]

READY_S_MAX = 420
STAYS_UP_S = 20
REPLY_S = 60.0


@contextlib.contextmanager
def started(group: CpuGroup | None = None) -> Iterator[LiveDaemon]:
    """A daemon that is given minutes to start, in a control group if one is given."""
    with launched_daemon() as daemon:
        assert daemon.process is not None
        if group is not None:
            group.add(daemon.process.pid)
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


def test_a_busy_machine_is_ready_without_an_engine_lost() -> None:
    """40 busy processes: `meterd up` gets ready with its first engine."""
    with busy_processes(BUSY_PROCESSES), started() as daemon:
        billed(daemon, "busy")
        assert not log_lines(daemon, "engine.lost")
        assert len(log_lines(daemon, "ray.starting")) == 1


def test_half_a_core_is_enough_to_get_ready_handle_commands_and_stay_up() -> None:
    """A quota of half a core for everything the daemon starts."""
    with cpu_group() as group:
        group.limit(HALF_A_CORE_US)
        _stays_up(group)


def _stays_up(group: CpuGroup) -> None:
    with started(group) as daemon:
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
