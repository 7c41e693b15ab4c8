"""No server outlives the tests that started it, however they end."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from loadtests.common.code import ROOT
from loadtests.common.timeouts import scaled

pytestmark = pytest.mark.slow

Words = tuple[str, ...]

SERVERS = """
import os, time
from pathlib import Path
from tests.databases import a_server
from tests.servers import redis_server

def test_that_never_ends():
    with redis_server() as redis_url, a_server() as postgres_url:
        Path(os.environ["READY"]).write_text(str(os.getpid()))
        time.sleep(600)
"""
DAEMON = """
import os, time
from pathlib import Path
from loadtests.common.live import live_daemon

def test_that_never_ends():
    with live_daemon(METERD_HTTP__PORT="0") as daemon:
        Path(os.environ["READY"]).write_text(str(os.getpid()))
        time.sleep(600)
"""


class Pytest:
    """A real pytest with one test that has started servers and then hangs."""

    def __init__(self, folder: Path, test: str, *words: str) -> None:
        (folder / "test_it.py").write_text(test)
        self.out = folder / "out"
        with self.out.open("wb") as out:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "pytest", "-s", "-p", "no:cacheprovider"),
                    *("--rootdir", str(ROOT), "-c", str(ROOT / "pyproject.toml"), *words),
                    str(folder / "test_it.py"),
                ],
                cwd=ROOT, env={**os.environ, "READY": str(self.ready())},
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
            )  # fmt: skip

    def started(self) -> list[psutil.Process]:
        """All processes below it, once the test has its servers."""
        until(lambda: self.ready().exists(), self.out, 180)
        return list(psutil.Process(self.process.pid).children(recursive=True))

    def ready(self) -> Path:
        """Written by the test; has the pid of the process that runs it."""
        return self.out.with_name("ready")


def until(holds: Callable[[], bool], out: Path, seconds: float) -> None:
    """Wait until something holds; what pytest printed tells why it does not."""
    end_s = time.monotonic() + scaled(seconds)
    while not holds():
        assert time.monotonic() < end_s, out.read_text(errors="replace")[-2_000:]
        time.sleep(0.05)


def is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def names(processes: list[psutil.Process]) -> set[str]:
    return {process.name() for process in processes}


@pytest.mark.redis
@pytest.mark.postgres
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda n: n.name)
@pytest.mark.parametrize("words", [(), ("-n", "1")], ids=["pytest", "xdist"])
def test_servers_end_with_pytest(tmp_path: Path, number: signal.Signals, words: Words) -> None:
    """Redis and Postgres, whatever signal ends pytest, or the controller of its workers."""
    running = Pytest(tmp_path, SERVERS, *words)
    below = running.started()
    assert {"valkey-server", "postgres"} <= names(below)
    running.process.send_signal(number)
    running.process.wait(scaled(60))
    until(lambda: not any(map(is_alive, below)), running.out, 60)


@pytest.mark.redis
@pytest.mark.postgres
def test_servers_end_with_the_worker_that_started_them(tmp_path: Path) -> None:
    """The controller lives on and replaces the worker; nobody would stop the servers."""
    running = Pytest(tmp_path, SERVERS, "-n", "1", "--max-worker-restart", "0")
    below = running.started()
    os.kill(int(running.ready().read_text()), signal.SIGKILL)
    until(lambda: not any(map(is_alive, below)), running.out, 60)
    running.process.wait(scaled(60))


@pytest.mark.ray
@pytest.mark.acceptance
@pytest.mark.timeout(300)
def test_a_daemon_ends_with_pytest(tmp_path: Path) -> None:
    """With its engine, its Ray processes and its servers."""
    running = Pytest(tmp_path, DAEMON)
    below = running.started()
    assert {"valkey-server", "postgres", "raylet"} <= names(below)
    running.process.kill()
    running.process.wait(scaled(60))
    until(lambda: not any(map(is_alive, below)), running.out, 90)
