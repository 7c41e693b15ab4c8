"""Overload does not feed itself: nobody who is late because the machine is slow is replaced.

The limits are a fifth of the default ones, so that a minute is enough to pass them; a daemon that
counted all silence ended its recorder in the test with the quota.
"""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from statistics import median
from typing import Any, Final

import pytest

from actors.silence import FACTOR_MAX
from daemon.process.ray_processes import descendants_of
from loadtests.common.live import LiveDaemon, live_daemon
from meterd import Meter
from tests.acceptance.slow import (
    BUSY_PROCESSES,
    HALF_A_CORE_US,
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

CALL_S: Final = 2.0
SHORT: Final = {
    "METERD_ACTORS__CALL_TIMEOUT_MS": "2000",
    "METERD_REDIS__SOCKET_TIMEOUT_MS": "1900",
}
OVERLOAD_S: Final = 60.0
AFTER_S: Final = 5.0
REPLY_S: Final = 60.0
CHATS: Final = 20
LATENCY_S_MAX: Final = 0.1
"""Of the median command on the two cores this is made for, once nothing else runs."""
REPLACED: Final = (
    "actor.lost", "recorder.lost", "supervisor.hangs", "supervisor.failed", "engine.lost",
)  # fmt: skip


class Backend:
    """Sends one command after the other and notes when, and how long its reply took."""

    def __init__(self, url: str) -> None:
        self.replies: list[tuple[float, float]] = []
        self.error: Exception | None = None
        self._url = url
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Backend":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            with Meter(self._url) as meter:
                self._send(meter)
        except Exception as error:
            self.error = error

    def _send(self, meter: Meter) -> None:
        meter.top_up("u", "1000", timeout_s=REPLY_S)
        for chat in range(CHATS):
            meter.start(f"c{chat}", "u", "v", rate="1", timeout_s=REPLY_S)
        number = 0
        while not self._stop.wait(0.02):
            began_s = time.monotonic()
            meter.heartbeat(f"c{number % CHATS}", timeout_s=REPLY_S)
            self.replies.append((began_s, time.monotonic() - began_s))
            number += 1

    def between(self, first_s: float, last_s: float) -> list[float]:
        """How long the replies to what was sent in this time took."""
        return [took_s for began_s, took_s in self.replies if first_s <= began_s < last_s]


def _processes(daemon: LiveDaemon) -> set[int]:
    """All of the daemon's, the embedded servers' included."""
    assert daemon.process is not None
    return {daemon.process.pid, *descendants_of(daemon.process.pid)}


def _working(status: dict[str, Any]) -> dict[str, int]:
    """Whose process is whose."""
    actors = {actor["name"]: actor["pid"] for actor in status["actors"] if actor["up"]}
    return {**actors, "supervisor": status["pid"], "recorder": status["recorder"]["pid"]}


def _check_nobody_was_replaced(daemon: LiveDaemon, before: dict[str, int]) -> None:
    daemon.until(lambda: daemon.published().get("state") == "ready")
    after = _working(daemon.published())
    assert {name: after[name] for name in before} == before
    assert not [line for event in REPLACED for line in log_lines(daemon, event)]


@contextlib.contextmanager
def _watched(daemon: LiveDaemon) -> Iterator[Backend]:
    """A backend at work; afterwards everything has been answered and the books are right."""
    with Backend(daemon.redis_url) as backend:
        daemon.until(lambda: len(backend.replies) > CHATS or backend.error is not None)
        yield backend
    assert backend.error is None
    daemon.until_handled()
    audited = daemon.run("audit")
    assert audited.returncode == 0, audited.stdout


def _overload(daemon: LiveDaemon, backend: Backend) -> None:
    """Work on for a minute: commands have their effect."""
    began_s = time.monotonic()
    time.sleep(OVERLOAD_S)
    took = backend.between(began_s, time.monotonic())
    print(f"under load: {len(took)} commands, median {median(took):.3f} s, max {max(took):.3f} s")
    assert daemon.process is not None
    assert daemon.process.poll() is None


def _check_latency_is_back(backend: Backend) -> None:
    ended_s = time.monotonic()
    time.sleep(AFTER_S)
    took = backend.between(ended_s, time.monotonic())
    print(f"after: {len(took)} commands, first {took[0]:.3f} s, median {median(took):.3f} s")
    assert median(took) < LATENCY_S_MAX


def test_half_a_core_for_forty_busy_processes_and_the_daemon_replaces_nobody() -> None:
    """A quota that is used up most of the time, with commands coming in: they are handled, and
    as fast as before as soon as the load ends."""
    with cpu_group() as group, live_daemon(**SHORT) as daemon, _watched(daemon) as backend:
        before = _working(daemon.published())
        for pid in _processes(daemon):
            group.add(pid)
        with busy_processes(BUSY_PROCESSES, group):
            group.limit(HALF_A_CORE_US)
            _overload(daemon, backend)
        group.limit(None)
        _check_latency_is_back(backend)
        _check_nobody_was_replaced(daemon, before)


def test_all_cores_busy_replaces_nobody() -> None:
    """Forty busy processes beside the daemon."""
    with live_daemon(**SHORT) as daemon, _watched(daemon) as backend:
        before = _working(daemon.published())
        with busy_processes(BUSY_PROCESSES):
            _overload(daemon, backend)
        _check_latency_is_back(backend)
        _check_nobody_was_replaced(daemon, before)


def _replaced_after_s(daemon: LiveDaemon, timeout_s: float) -> float:
    """Stop the first actor's process; how long it takes until another one has its place."""
    actor = daemon.published()["actors"][0]
    os.kill(actor["pid"], signal.SIGSTOP)
    began_s = time.monotonic()
    daemon.until(lambda: _pid_of(daemon, actor["name"]) not in (None, actor["pid"]), timeout_s)
    return time.monotonic() - began_s


def _pid_of(daemon: LiveDaemon, name: str) -> int | None:
    """The process of an actor that works; None while there is none, or nobody says so."""
    actors = daemon.published().get("actors", ())
    return next((a["pid"] for a in actors if a["name"] == name and a["up"]), None)


def test_what_hangs_is_replaced_on_a_quiet_machine_and_on_a_busy_one() -> None:
    """A stopped process waits for no CPU: at its limit on both, plus what another one's start
    takes, which is longer on the busy one."""
    with live_daemon(**SHORT) as daemon, _watched(daemon):
        quiet_s = _replaced_after_s(daemon, 3 * CALL_S + 5)
        with busy_processes(BUSY_PROCESSES):
            busy_s = _replaced_after_s(daemon, CALL_S * FACTOR_MAX + 60)
        print(f"replaced after {quiet_s:.1f} s on a quiet machine, {busy_s:.1f} s on a busy one")
