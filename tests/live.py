"""The real daemon, as an operator runs it, for tests."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parents[1]
START_TIMEOUT_S: Final = 90
STOP_TIMEOUT_S: Final = 30


class Live(NamedTuple):
    """A running daemon."""

    home: Path
    process: subprocess.Popen[bytes]
    environment: dict[str, str]
    redis_url: str
    postgres_url: str


@contextlib.contextmanager
def live_daemon(**settings: str) -> Iterator[Live]:
    """``meterd up`` with servers of its own; settings as ``CREDITS__AT_ZERO="suspend"``."""
    home = Path(tempfile.mkdtemp(prefix="meterd-live-"))
    environment = {
        **os.environ,
        "METERD_HOME": str(home / "home"),
        **{f"METERD_{name}": value for name, value in settings.items()},
    }
    with (home / "output").open("wb") as output:
        process = subprocess.Popen(
            [_program(), "up"], cwd=home, env=environment, stdout=output, stderr=output
        )
    try:
        status = _ready(process, environment, home)
        yield Live(home, process, environment, status["redis_url"], status["postgres_url"])
    finally:
        _stop(process)
        shutil.rmtree(home, ignore_errors=True)


def _program() -> str:
    return str(Path(sys.executable).with_name("meterd"))


def _ready(
    process: subprocess.Popen[bytes], environment: dict[str, str], home: Path
) -> dict[str, Any]:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        asked = subprocess.run(
            [_program(), "status", "--json"],
            cwd=home,
            env=environment,
            capture_output=True,
            check=False,
        )
        if asked.returncode == 0:
            status: dict[str, Any] = json.loads(asked.stdout)
            return status
        time.sleep(0.2)
    tail = (home / "output").read_text(errors="replace")[-4000:]
    raise AssertionError(f"meterd up did not get ready (exit {process.poll()}):\n{tail}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
