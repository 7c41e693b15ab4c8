"""A copy of what an example needs of the checkout, and its two commands."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from loadtests.common.live import LiveDaemon
from loadtests.common.timeouts import scaled
from loadtests.common.watchdog import end_with_us

ROOT = Path(__file__).resolve().parents[2]
MADE = shutil.ignore_patterns("node_modules", "dist", "feed.jsonl", "__pycache__")
INSTALL_S = 120.0
COMMANDS = re.compile(r"^```sh\n([^\n]+)\n([^\n]+)\n```$", re.MULTILINE)


def copy_checkout(folder: Path) -> Path:
    """Copy what the commands read, so that they write nothing into the checkout."""
    for name in ("examples", "clients/typescript"):
        shutil.copytree(ROOT / name, folder / name, ignore=MADE)
    return folder


class Run:
    """The process of an example."""

    def __init__(self, process: subprocess.Popen[bytes], out: Path) -> None:
        self._process = process
        self._out = out

    @property
    def output(self) -> str:
        """What it has printed."""
        return self._out.read_text("utf-8")

    def until(self, holds: Callable[[str], bool]) -> None:
        """Wait until something holds of its output; fails at once if it has ended."""
        deadline = time.monotonic() + scaled(20.0)
        while not holds(self.output):
            assert self._process.poll() is None, self.output
            assert time.monotonic() < deadline, self.output
            time.sleep(0.05)

    def stop(self, by: signal.Signals = signal.SIGTERM) -> int:
        """End it; returns the exit code."""
        os.killpg(self._process.pid, by)
        return self._process.wait(timeout=scaled(20.0))


class Example:
    """An example in a copy of the checkout, as its reader types its two commands."""

    def __init__(self, name: str, checkout: Path, daemon: LiveDaemon) -> None:
        self.folder = checkout / "examples" / name
        ((self._install, self._run),) = COMMANDS.findall((self.folder / "README.md").read_text())
        self._checkout = checkout
        self._env = {
            **daemon.env,
            "PATH": _path(checkout / "bin"),
            "npm_config_prefer_offline": "true",
        }

    @property
    def commands(self) -> tuple[str, str]:
        """Both, as they stand in the README."""
        return self._install, self._run

    def install(self) -> None:
        """Run the first command."""
        done = subprocess.run(
            ["bash", "-c", self._install], cwd=self._checkout, env=self._env, text=True,
            capture_output=True, stdin=subprocess.DEVNULL, timeout=scaled(INSTALL_S), check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr

    @contextmanager
    def running(self, is_ready: Callable[[str], bool], more: str = "", **env: str) -> Iterator[Run]:
        """Run the second command until the end of the block.

        Args:
            is_ready: asked with the output so far, until the program can be used.
            more: what is added to the command, as a port.
            env: more variables.
        """
        out = self.folder.with_suffix(".out")
        with out.open("wb") as written:
            process = subprocess.Popen(
                ["bash", "-c", self._run + more], cwd=self._checkout, env={**self._env, **env},
                stdin=subprocess.DEVNULL, stdout=written, stderr=written, start_new_session=True,
            )  # fmt: skip
        end_with_us(process.pid)
        run = Run(process, out)
        try:
            run.until(is_ready)
            yield run
        finally:
            if process.poll() is None:
                run.stop()


def _path(folder: Path) -> str:
    """The PATH of an activated environment, with Node.js itself first.

    The environment's own ``node`` is a wrapper that passes no signal on.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    node = shutil.which("node", path=path)
    if node is None or shutil.which("npm", path=path) is None:
        pytest.skip("Node.js with npm was not found; make install-dev brings both")
    asked = [node, "--print", "process.execPath"]
    real = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
    folder.mkdir()
    (folder / "node").symlink_to(real)
    return f"{folder}{os.pathsep}{path}"


def free_port() -> int:
    """One that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
