"""The engine as the daemon sees it: a process that can be told, heard, and ended for sure."""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

import structlog

from daemon.discovery.runfile import Addresses
from daemon.process.ray_processes import descendants_of, marked_processes

log = structlog.get_logger()

SILENT_S_MAX: Final = 20.0
"""An engine that says nothing for so long hangs; it speaks twice a second."""
KILL_ROUNDS: Final = 20
START_S_MAX: Final = 120.0
"""Until its first word: importing and starting Ray takes seconds, on a busy machine many."""


MARK: Final = "_METERD_ENGINE"
"""The environment variable by which all processes of an engine are found, whoever their parent is
by now."""


RAY_SETTINGS: Final = {
    # Ray's GCS keeps the story of the last calls, for a dashboard that we do not start: it grew by
    # 60 MiB in five minutes at 400 commands a second.
    "RAY_task_events_report_interval_ms": "0",
    # Ray runs its workers at nice 15, behind everything else on the machine. Ours are no batch
    # jobs: somebody waits for each answer.
    "RAY_worker_niceness": "0",
}
"""What the environment says goes before these."""


def heed_signals(stop: Callable[[], None]) -> None:
    """End in order on SIGTERM and SIGINT."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop())


class Order(NamedTuple):
    """What an engine is told."""

    addresses: Addresses
    config: str | None
    """The settings' file, if one was named."""
    token: str
    """What the daemon is called by others."""
    folder: str
    """For Ray's own files."""


class EngineProcess:
    """One engine from start to end."""

    def __init__(self, order: Order) -> None:
        """Start it."""
        self.status: dict[str, Any] = {}
        self.was_ready = False
        self._heard_at: float | None = None
        self._began = time.monotonic()
        self._mark = secrets.token_hex(8)
        # A session of its own: the terminal's Ctrl-C is for the daemon, which tells the engine.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "daemon.process.engine"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**RAY_SETTINGS, **os.environ, MARK: self._mark},
        )
        self._say(order)
        threading.Thread(target=self._listen, daemon=True).start()

    def _say(self, order: Order) -> None:
        assert self._process.stdin is not None, "it was started with a pipe"
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(
                json.dumps({**order._asdict(), "addresses": order.addresses._asdict()}) + "\n"
            )
            self._process.stdin.flush()

    def _listen(self) -> None:
        assert self._process.stdout is not None, "it was started with a pipe"
        for line in self._process.stdout:
            self._heard_at = time.monotonic()
            status = json.loads(line)
            if status:
                self.status = status
                self.was_ready = self.was_ready or status["state"] == "ready"

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def problem(self) -> str:
        """Why it is of no more use; empty while it is."""
        if self._process.poll() is not None:
            return f"the engine has ended with {self._process.returncode}"
        silent_s = time.monotonic() - (self._heard_at or self._began)
        if silent_s > (START_S_MAX if self._heard_at is None else SILENT_S_MAX):
            return f"the engine has said nothing for {silent_s:.0f} s"
        return ""

    def stop(self, timeout_s: float) -> None:
        """End it in order, or after so long without."""
        self._process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout_s)
        self.kill()

    def kill(self) -> None:
        """End it and all that it has started, stopped processes included."""
        below = descendants_of(self._process.pid)  # some of Ray's overwrite their environment
        self._process.kill()
        self._process.wait()
        _kill(below)
        mark = f"{MARK}={self._mark}".encode()
        for _ in range(KILL_ROUNDS):  # one may have started another meanwhile
            found = marked_processes(mark)
            _kill(found)
            if not found:
                return
            time.sleep(0.05)


def _kill(pids: Iterable[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
