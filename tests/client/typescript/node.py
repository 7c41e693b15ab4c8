"""Node.js, the package installed beside it, and a process that drives its client."""

import itertools
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from loadtests.common.timeouts import scaled

PACKAGE = Path(__file__).resolve().parents[3] / "clients" / "typescript"
NODE = Path(sys.executable).with_name("node")
NPM = Path(sys.executable).with_name("npm")
INSTALL_TIMEOUT_S = 120
RUN_TIMEOUT_S = 60
Call = Callable[..., Any]
_NUMBERS = itertools.count()


def run(
    *command: str | Path, cwd: Path, timeout_s: float = RUN_TIMEOUT_S, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run a program of Node's; its output is in the failure."""
    path = f"{NODE.parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env={**os.environ, "PATH": path, **env},
        capture_output=True, text=True, timeout=scaled(timeout_s), check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done


def install(folder: Path) -> Path:
    """Make a copy of the package in ``folder``, with what its lock file names."""
    copy = folder.with_name(f"{folder.name}.part")
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("node_modules"))
    quiet = ("--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline")
    run(NPM, "ci", *quiet, cwd=copy, timeout_s=INSTALL_TIMEOUT_S)
    return copy.rename(folder)


class Failed(Exception):  # noqa: N818 - what the other side said, not an error of the test
    """A call was rejected; ``said`` is the error as JSON."""

    def __init__(self, said: dict[str, Any]) -> None:
        super().__init__(said.get("message"))
        self.said = said


class Driver:
    """A Node.js process with any number of clients; requests may overlap."""

    def __init__(self, package: Path) -> None:
        self._process = subprocess.Popen(
            [str(NODE), str(Path(__file__).with_name("driver.mjs")), str(package)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._asked: dict[int, Future[Any]] = {}
        threading.Thread(target=self._read, daemon=True).start()

    def begin(self, request: str, **given: object) -> "Future[Any]":
        """Ask for something; the answer is the future's."""
        future: Future[Any] = Future()
        with self._lock:
            number = next(self._numbers)
            self._asked[number] = future
            assert self._process.stdin is not None
            line = json.dumps({"n": number, "request": request, **given})
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        return future

    def ask(self, request: str, **given: object) -> Any:
        """The answer."""
        return self.begin(request, **given).result(scaled(30))

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        with self._process:
            self._process.stdin.close()
            try:
                self._process.wait(scaled(5))
            except subprocess.TimeoutExpired:
                self._process.kill()
                raise

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said = json.loads(line)
            future = self._asked.pop(said["n"])
            if "failed" in said:
                future.set_exception(Failed(said["failed"]))
            else:
                future.set_result(said["result"])
        for future in self._asked.values():
            future.set_exception(Failed({"error": "the process has ended"}))


class Meter:
    """One client in the driver's process."""

    def __init__(self, driver: Driver, url: str, **options: object) -> None:
        self.driver = driver
        self.name = f"m{next(_NUMBERS)}"
        driver.ask("make", meter=self.name, url=url, options=options)

    def begin(self, method: str, *, enqueue: bool = False, **args: object) -> Any:
        return self.driver.begin("call", meter=self.name, method=method, args=args, enqueue=enqueue)

    def call(self, method: str, **args: Any) -> Any:
        return self.begin(method, **args).result(30)

    def close(self) -> None:
        self.driver.ask("close", meter=self.name)


def refused(meter: Any, method: str, **args: object) -> dict[str, Any]:
    """The error of a call that is rejected, as JSON."""
    with pytest.raises(Failed) as caught:
        meter.call(method, **args)
    return caught.value.said
