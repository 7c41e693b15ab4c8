"""Ends servers and daemons when the process that started them dies, however it dies.

A process of its own, in a session of its own, watches the one that starts servers (pytest, one of
its workers, a load test). It hears of each server through a pipe. When its process is gone, it
sends SIGTERM to the servers that are left, then SIGKILL, and removes their folders.
"""

import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import psutil

ROOT: Final = Path(__file__).resolve().parents[2]
CHECK_S: Final = 0.5
"""A process that was forked may hold the pipe open: then its owner's end is seen this late."""
TERMINATE_S_MAX: Final = 30.0
"""A daemon stops its own servers within this time."""


class Watchdog:
    """The watching process, as the watched one sees it; started with the first server."""

    def __init__(self) -> None:
        self._owner = 0
        self._process: subprocess.Popen[bytes] | None = None

    def end_with_us(self, pid: int) -> None:
        """End a process if it outlives this one; it need not be a child."""
        self._tell({"pid": pid})

    def remove_with_us(self, folder: Path) -> None:
        """Remove a folder if it outlives this process, once the processes are gone."""
        self._tell({"folder": str(folder)})

    def _tell(self, what: dict[str, Any]) -> None:
        if self._owner != os.getpid():  # the first time, or forked
            self._owner, self._process = os.getpid(), self._start()
        assert self._process is not None, "it was started"
        assert self._process.stdin is not None, "it was started with a pipe"
        self._process.stdin.write(json.dumps(what).encode() + b"\n")
        self._process.stdin.flush()

    def _start(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [sys.executable, "-m", "loadtests.common.watchdog", str(os.getpid())],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            cwd=ROOT, start_new_session=True,
        )  # fmt: skip


_watchdog: Final = Watchdog()
end_with_us: Final = _watchdog.end_with_us
remove_with_us: Final = _watchdog.remove_with_us


class Watched:
    """What is to be ended."""

    def __init__(self) -> None:
        self._processes: list[psutil.Process] = []
        self._folders: list[Path] = []

    def take(self, line: bytes) -> None:
        """A line of the pipe."""
        found: dict[str, Any] = json.loads(line)
        if "folder" in found:
            self._folders.append(Path(found["folder"]))
            return
        with suppress(psutil.NoSuchProcess):
            self._processes.append(psutil.Process(found["pid"]))

    def end_all(self) -> None:
        """End what still runs; a pid that is another process's by now is passed over."""
        self._send(psutil.Process.terminate)
        end_s = time.monotonic() + TERMINATE_S_MAX
        while any(map(_is_alive, self._processes)) and time.monotonic() < end_s:
            time.sleep(0.05)
        self._send(psutil.Process.kill)
        for folder in self._folders:
            shutil.rmtree(folder, ignore_errors=True)

    def _send(self, signal: Callable[[psutil.Process], None]) -> None:
        for process in filter(_is_alive, self._processes):
            with suppress(psutil.Error):
                signal(process)


def _is_alive(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


def main() -> None:
    """Watch the process whose pid is the argument."""
    watched = Watched()
    with suppress(psutil.NoSuchProcess):
        owner, rest = psutil.Process(int(sys.argv[1])), b""
        while _is_alive(owner):
            if not select.select([sys.stdin], [], [], CHECK_S)[0]:
                continue
            read = os.read(sys.stdin.fileno(), 65_536)
            if not read:
                break
            *lines, rest = (rest + read).split(b"\n")
            for line in lines:
                watched.take(line)
    watched.end_all()


if __name__ == "__main__":
    main()
