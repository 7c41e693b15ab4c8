"""`make up` is the daemon: signals reach it, and nothing is left when it has ended."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.discovery.runfile import RunFile
from loadtests.common.live import LiveDaemon
from loadtests.common.timeouts import READY_TIMEOUT_S, scaled
from loadtests.common.watchdog import end_with_us
from tests.processes import processes_of, until_none_of
from tests.project._project import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.acceptance, pytest.mark.timeout(300)]


@pytest.fixture
def home() -> Iterator[Path]:
    """A METERD_HOME whose path is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="meterd-make-", dir="/tmp") as folder:
        yield Path(folder) / "home"


def test_make_passes_sigterm_on_and_ends_after_the_daemon(home: Path) -> None:
    """The daemon stops in order; make waits for that and then ends by the same signal."""
    daemon = LiveDaemon(home, {"METERD_HTTP__PORT": "0"})
    # The environment of the tests is there: `-o install` keeps make from looking whether it is.
    command = ["make", "-o", "install", "up", f"VENV={sys.prefix}"]
    # A make around the tests hands its variables down: ARGS of `make test` is not for `meterd up`.
    env = {name: value for name, value in daemon.env.items() if not name.startswith("MAKE")}
    env.pop("ARGS", None)
    make = subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True)
    end_with_us(make.pid)
    try:
        daemon.until(lambda: daemon.published().get("state") == "ready", READY_TIMEOUT_S)
        assert RunFile(home).pid() in {pid for pid, _ in processes_of(home)}
        make.send_signal(signal.SIGTERM)
        printed, _ = make.communicate(timeout=scaled(60))
        assert printed.rstrip().endswith("meterd has stopped.")
        assert make.returncode == -signal.SIGTERM
        until_none_of(home)
    finally:
        make.kill()
        for pid, _ in processes_of(home):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
