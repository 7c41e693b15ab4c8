"""Nothing is lost and nothing comes twice when the whole daemon is killed in the middle."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from loadtests.common.live import LiveDaemon, live_daemon
from tests.books import assert_balanced
from tests.load import Load, Sender

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.acceptance, pytest.mark.timeout(600)]

SECONDS = float(os.environ.get("METERD_TEST_KILL_SECONDS", "6"))
PER_SECOND = int(os.environ.get("METERD_TEST_KILL_RATE", "1000"))
SEED = int(os.environ.get("METERD_TEST_SEED", str(int.from_bytes(os.urandom(3)))))


@pytest.fixture(scope="module")
def daemon() -> Iterator[LiveDaemon]:
    with live_daemon() as running:
        yield running


def test_a_daemon_that_is_killed_right_after_its_start_leaves_nothing_of_ray(
    daemon: LiveDaemon,
) -> None:
    """Ray's agents were still starting, and stayed for ever: only servers may live on.

    The first test of this daemon, which has just been started.
    """
    assert daemon.process is not None
    family = psutil.Process(daemon.process.pid).children(recursive=True)
    engines = [process for process in family if "daemon.process.engine" in process.cmdline()]
    ours = [p for engine in engines for p in [engine, *engine.children(recursive=True)]]
    assert len(ours) > 5
    daemon.kill()
    gone, alive = psutil.wait_procs(ours, timeout=5)
    assert (len(gone), alive) == (len(ours), [])
    daemon.process = None
    daemon.until(lambda: not daemon.published())  # the dead one's last word
    daemon.start()


def test_after_kill_9_and_restart_the_records_equal_the_fold_of_what_was_sent(
    daemon: LiveDaemon,
) -> None:
    """2 000 chats of 500 users at once, random commands, SIGKILL half-way, a second life."""
    print(f"METERD_TEST_SEED={SEED}")
    with contextlib.closing(daemon.client()) as client:
        sender = Sender(client, Load(users=500, chats_per_user=4, seed=SEED))
        sender.begin()
        sender.send_for(SECONDS / 2, PER_SECOND)
        _kill(daemon)
        sender.send_for(SECONDS / 4, PER_SECOND)
        daemon.start()
        sender.send_for(SECONDS / 4, PER_SECOND)
        sender.finish()
        daemon.until_handled(timeout_s=240)
        assert_balanced(client, daemon.engine(), sender.log)


def _kill(daemon: LiveDaemon) -> None:
    """The daemon's own process; its actors go down with it and may write nothing more."""
    pids = [actor["pid"] for actor in daemon.published()["actors"]]
    daemon.kill()
    daemon.process = None
    daemon.until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), timeout_s=30)
