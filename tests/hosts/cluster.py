"""A Ray cluster over machines, started by Ray's own command, with tokens."""

import os
import secrets
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from daemon.embedded.home import write_private
from daemon.process.engine_client import RAY_SETTINGS
from loadtests.common.timeouts import scaled
from tests.hosts.machines import Machine

PORT: Final = 6379
ATTEMPTS: Final = 5
"""A raylet gives up if its agent is not up within 15 s, as on a busy machine (Ray 2.60)."""
START_S_MAX: Final = scaled(90)
RAY: Final = str(Path(sys.executable).with_name("ray"))


class RayCluster:
    """One head; every machine that joins is a node."""

    def __init__(self, folder: Path, head: Machine, state_at: str = "") -> None:
        """Start the head; ``state_at``: the URL of a Redis in which it keeps its state."""
        self._folder = folder
        self._head_env = {"RAY_REDIS_ADDRESS": state_at} if state_at else {}
        self.address = f"{head.address}:{PORT}"
        token = folder / "ray_token"
        write_private(token, secrets.token_hex(32))
        self.env = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
        """For whoever speaks to the cluster."""
        self.head = head
        self.start_head()

    def start_head(self) -> None:
        """Start the head; once it has ended, it is another cluster but for its state."""
        options = [f"--port={PORT}", "--head", "--include-dashboard=false", "--num-cpus=0"]
        self._output(self.head).unlink(missing_ok=True)
        self._start(self.head, options, self._head_env)

    def kill_head(self) -> None:
        """End all of Ray on the head's machine at once."""
        lines = self.head.run("ps", "-eo", "pid=,args=").splitlines()
        found = [line.split(maxsplit=1) for line in lines]
        pids = [pid for pid, args in found if "ray" in args and not args.startswith("ps ")]
        assert pids
        self.head.run("kill", "-9", *pids)

    def join(self, machine: Machine) -> None:
        """Make a machine a node."""
        self._start(machine, [f"--address={self.address}", "--num-cpus=2"])

    def actors_on(self, machine: Machine, kind: str) -> list[str]:
        """The command lines of the actors of a class that run on a machine."""
        lines = machine.run("sh", "-c", "ps -eo args").splitlines()
        return [line for line in lines if line.startswith(f"ray::{kind}")]

    def _start(
        self, machine: Machine, options: list[str], env: Mapping[str, str] | None = None
    ) -> None:
        for _ in range(ATTEMPTS):
            if self._try(machine, options, env or {}):
                return
        raise AssertionError(f"no Ray node on {machine.name}: {self._output(machine).read_text()}")

    def _try(self, machine: Machine, options: list[str], env: Mapping[str, str]) -> bool:
        process = machine.start(
            [RAY, "start", "--block", *options, f"--node-ip-address={machine.address}",
             f"--temp-dir={self._folder / machine.name}", "--object-store-memory=100000000",
             "--disable-usage-stats", "--include-log-monitor=false"],
            {**os.environ, **RAY_SETTINGS, **self.env, **env}, self._output(machine), self._folder,
        )  # fmt: skip
        deadline = time.monotonic() + START_S_MAX
        while process.poll() is None:
            if "Ray runtime started" in self._output(machine).read_text():
                return True
            assert time.monotonic() < deadline, self._output(machine).read_text()
            time.sleep(0.2)
        return False

    def _output(self, machine: Machine) -> Path:
        return self._folder / f"{machine.name}.ray"
