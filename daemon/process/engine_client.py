"""The engine as the daemon sees it: a process that is started, watched, and ended for certain."""

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
from pathlib import Path
from typing import Any, Final, NamedTuple

import structlog

from actors.silence import ProcessSilence
from daemon.discovery.runfile import Addresses
from daemon.embedded.log_file import LogFile
from daemon.process.ray_processes import descendants_of, marked_processes

log = structlog.get_logger()

SILENT_S_MAX: Final = 20.0
"""An engine that reports nothing for so long hangs, without what it waits for a CPU; it reports
every two seconds at the latest."""
WATCH_S: Final = 0.5
"""How often it is looked at."""
KILL_ROUNDS: Final = 20
RAY_LOG_BYTES: Final = 8_192
"""How much of each of Ray's logs is kept when it fails."""
IMPORT_S_MAX: Final = 60.0
"""What Python and its imports may take on top of Ray's own start."""

EXIT_FAILED: Final = 3
"""The engine's exit code when another one is needed."""
EXIT_START_TIMEOUT: Final = 4
"""The engine's exit code when Ray has not started in time."""
EXIT_CLUSTER_AWAY: Final = 5
"""The engine's exit code when the Ray cluster that it should join has not taken it."""

MARK: Final = "_METERD_ENGINE"
"""The environment variable that marks all processes of an engine, whatever their parent is now."""


RAY_SETTINGS: Final = {
    # Ray's GCS keeps a history of calls for a dashboard that we do not start: it grew by
    # 60 MiB in five minutes at 400 commands a second.
    "RAY_task_events_report_interval_ms": "0",
    # Ray runs its workers at nice 15, behind everything else on the machine. Ours are no batch
    # jobs: somebody waits for each answer.
    "RAY_worker_niceness": "0",
    # Six files of 512 MB for each of its processes, if nothing is said.
    "RAY_ROTATION_MAX_BYTES": "10000000",
    "RAY_ROTATION_BACKUP_COUNT": "1",
}
"""Defaults of ours for Ray; the environment overrides them."""


RAY_ALONE: Final = {
    # No other machine is asked for: Ray works on the loopback address then, and not on the
    # machine's, which may change, nor on all interfaces. The name is that of the switch for
    # systems on which Ray knows single machines only.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}
"""The same where Ray has this machine alone."""


def ray_limits(limit_s: float) -> dict[str, str]:
    """Ray's own start limits as environment variables; it reads them while it is imported."""
    seconds = str(int(limit_s))
    return {
        "RAY_gcs_server_port_wait_time_s": seconds,
        "RAY_gcs_server_request_timeout_seconds": seconds,
        "RAY_gcs_rpc_server_connect_timeout_s": seconds,
        "RAY_gcs_rpc_server_reconnect_timeout_s": str(max(60, int(limit_s))),
        "RAY_py_gcs_connect_timeout_s": seconds,
        "RAY_raylet_start_wait_time_s": seconds,
        "RAY_raylet_client_num_connect_attempts": seconds,  # one a second
        "RAY_worker_register_timeout_seconds": seconds,
        "RAY_agent_register_timeout_ms": f"{seconds}000",
    }


def install_signal_handlers(stop: Callable[[], None]) -> None:
    """Call ``stop`` on SIGTERM and SIGINT."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop())


class EngineConfig(NamedTuple):
    """What an engine is started with."""

    addresses: Addresses
    config: str | None
    """The settings' file, if one was named."""
    token: str
    """The daemon's name for other daemons."""
    folder: str
    """For Ray's own files."""
    start_limit_s: float
    """How long Ray may take to start."""
    ray_address: str | None = None
    """The cluster to join; None: this machine alone."""


class EngineProcess:
    """One engine from start to end."""

    def __init__(self, config: EngineConfig, log_file: LogFile) -> None:
        """Start it; ``log_file`` gets what Ray prints."""
        self.status: dict[str, Any] = {}
        self.was_ready = False
        self._start_limit_s = config.start_limit_s
        self._heard = self._heard_before = 0
        self._silence = ProcessSilence()
        self._mark = secrets.token_hex(8)
        # Ray and its C++ parts print to the error output: it goes to a file. The engine's own log
        # lines go where the daemon's go.
        own_log, ray_log = os.dup(2), log_file.open_new()
        try:
            # A session of its own: the terminal's Ctrl-C is for the daemon, which ends the engine.
            self._process = subprocess.Popen(
                [sys.executable, "-m", "daemon.process.engine"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=ray_log,
                pass_fds=(own_log,),
                text=True,
                start_new_session=True,
                env={
                    **RAY_SETTINGS,
                    **({} if config.ray_address else RAY_ALONE),
                    **ray_limits(config.start_limit_s),
                    **os.environ,
                    MARK: self._mark,
                },
            )
            self._send(config, own_log)
        finally:
            os.close(own_log)
            os.close(ray_log)
        threading.Thread(target=self._listen, daemon=True).start()

    def _send(self, config: EngineConfig, log_fd: int) -> None:
        assert self._process.stdin is not None, "it was started with a pipe"
        document = {**config._asdict(), "addresses": config.addresses._asdict(), "log_fd": log_fd}
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(document) + "\n")
            self._process.stdin.flush()

    def _listen(self) -> None:
        assert self._process.stdout is not None, "it was started with a pipe"
        for line in self._process.stdout:
            self._heard += 1
            status = json.loads(line)
            if status:
                self.status = status
                self.was_ready = self.was_ready or status["state"] == "ready"

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def problem(self) -> str:
        """Why it is of no more use; empty while it is. Asked every ``WATCH_S``."""
        if self._process.poll() is not None:
            if self.is_cluster_away():
                return (
                    "the Ray cluster has not taken this daemon: is a Ray node here, and its token?"
                )
            if self.is_start_timeout():
                return f"Ray has not started within {self._start_limit_s:g} s"
            return f"the engine has ended with exit code {self._process.returncode}"
        if self._heard != self._heard_before:
            self._heard_before = self._heard
            self._silence.answered()
        self._silence.observe(self._process.pid, WATCH_S)
        if self._silence.is_over(self._silent_s_max()):
            return f"the engine has reported nothing for {self._silence.total_s:.0f} s"
        return ""

    def is_cluster_away(self) -> bool:
        """Whether it has ended because the cluster that it should join has not taken it."""
        return self._process.poll() == EXIT_CLUSTER_AWAY

    def is_start_timeout(self) -> bool:
        """Whether it needs more time than it had; only asked when there is a problem."""
        code = self._process.poll()
        return code == EXIT_START_TIMEOUT or (code is None and not self.was_ready)

    def _silent_s_max(self) -> float:
        """Ray's start has several steps, each with the limit; the engine ends by itself before.

        Later it reports twice a second; while it has not been ready, a slow machine is waited for.
        """
        if not self._heard:
            return 3 * self._start_limit_s + IMPORT_S_MAX
        return SILENT_S_MAX if self.was_ready else max(SILENT_S_MAX, self._start_limit_s)

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


def save_ray_logs(folder: str, log_file: Path) -> None:
    """Append the ends of Ray's server logs, which go with its folder, to ``log_file``."""
    with log_file.open("a") as file:
        for path in sorted(Path(folder).glob("session_*/logs/*")):
            if path.parent.parent.is_symlink() or not path.name.startswith(
                ("raylet", "gcs_server")
            ):
                continue
            text = path.read_bytes()[-RAY_LOG_BYTES:].decode(errors="replace")
            if text.strip():
                file.write(f"--- the end of {path.name}:\n{text}\n")


def _kill(pids: Iterable[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
