"""Daemons on machines, each in a home of its own, all on the same Redis and PostgreSQL."""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from loadtests.common.live import METERD
from loadtests.common.timeouts import READY_TIMEOUT_S, scaled
from tests.hosts.machines import Machine

STOP_S_MAX = scaled(60)


class MachineDaemon:
    """The daemon of one machine."""

    def __init__(self, machine: Machine, folder: Path, env: Mapping[str, str]) -> None:
        """Nothing starts before ``launch``."""
        self.machine = machine
        self.home = folder / f"home-{machine.name}"
        self._folder = folder
        plain = {k: v for k, v in os.environ.items() if not k.startswith(("METERD_", "RAY_"))}
        self.env = {**plain, "TMPDIR": str(folder), **env, "METERD_HOME": str(self.home)}
        self._output = folder / f"{machine.name}.out"
        self._process: subprocess.Popen[bytes] | None = None

    def launch(self) -> None:
        """Start it."""
        self._process = self.machine.start([METERD, "up"], self.env, self._output, self._folder)

    def begin(self, state: str) -> None:
        """Start it and wait until it says that it is in this state."""
        self.launch()
        self.until(lambda: self.here()[0] == state, READY_TIMEOUT_S)

    def here(self) -> tuple[str, str]:
        """What this daemon is, whoever works, and why."""
        with contextlib.suppress(FileNotFoundError, ValueError):
            found = json.loads((self.home / "state.json").read_text())
            return str(found["state"]), str(found["why"])
        return "", ""

    def status(self) -> dict[str, Any]:
        """What ``meterd status --json`` prints on its machine; its exit code says less."""
        script = f"{METERD} status --json; true"
        text = self.machine.run("sh", "-c", script, env=self.env, timeout_s=scaled(60))
        found: dict[str, Any] = json.loads(text)
        return found

    def stop(self) -> None:
        """SIGTERM to the daemon, and wait for its end."""
        assert self._process is not None
        pid = json.loads((self.home / "run.json").read_text())["pid"]
        self.machine.run("kill", "-TERM", str(pid))
        assert self._process.wait(timeout=STOP_S_MAX) == 0, self.output()

    def freeze(self) -> None:
        """Stop all processes of its machine."""
        self._signal_all("STOP")

    def thaw(self) -> None:
        """Let all of them go on."""
        self._signal_all("CONT")
        # nsenter, outside, has stopped itself with the process that it started.
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def _signal_all(self, name: str) -> None:
        own = "sh|ps|awk|xargs|sleep"
        pids = f"ps -eo pid=,args= | awk '$1 != 1 && $2 !~ /^({own})/ {{print $1}}'"
        self.machine.run("sh", "-c", f"{pids} | xargs -r kill -{name}; true")

    def has_ended(self) -> bool:
        """Whether its process has ended, by itself or not."""
        return self._process is None or self._process.poll() is not None

    def until(self, holds: Callable[[], bool], timeout_s: float = 30) -> None:
        """Wait until something holds; fails at once if the daemon has ended by itself."""
        deadline = time.monotonic() + scaled(timeout_s)
        while not holds():
            assert not self.has_ended(), f"the daemon has ended: {self.output()}"
            assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {self.output()}"
            time.sleep(0.05)

    def logged(self, name: str) -> str:
        """The log of one of its processes; empty while there is none."""
        with contextlib.suppress(FileNotFoundError):
            return (self.home / "logs" / f"{name}.log").read_text()
        return ""

    def output(self) -> str:
        """The end of what it printed."""
        return self._output.read_text()[-3000:]
