"""Server processes: started in a session of their own, found again by a mark, stopped.

Every server carries a mark in its command line, made from the identity of its data
folder. A pid in a file may by now be anybody's; a mark can't be, and reading a command
line needs no privilege (the working folder of another user's process does).
"""

import hashlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

__all__ = ["ServerProcess", "find_marked", "mark_of", "wait_until"]

_POLL_S = 0.02


def wait_until(condition: Callable[[], bool], timeout_ms: int) -> bool:
    """Wait until the condition holds; False if it didn't within `timeout_ms`."""
    end = time.monotonic() + timeout_ms / 1000
    while not condition():
        if time.monotonic() >= end:
            return False
        time.sleep(_POLL_S)
    return True


def mark_of(folder: Path) -> str:
    """Make the mark of the server whose data lie in `folder` (the same after a rename)."""
    facts = folder.stat()
    digest = hashlib.sha256(f"{facts.st_dev}:{facts.st_ino}".encode())
    return f"meterd-{digest.hexdigest()[:16]}"


def find_marked(mark: str, command: str) -> list[int]:
    """Find the living processes of `command` that carry the mark."""
    found = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal())
    return sorted(pid for pid in found if _is_marked(pid, mark, command))


def _is_marked(pid: int, mark: str, command: str) -> bool:
    with suppress(OSError):
        name = Path(f"/proc/{pid}/comm").read_text().strip()
        if name == command and mark.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
            return _birth(pid) is not None
    return False


def _birth(pid: int) -> str | None:
    """When a process began (ticks since boot); None if it has ended, waited for or not."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]


class ServerProcess:
    """A server's process, started by this daemon or by an earlier life of it."""

    def __init__(self, pid: int, child: subprocess.Popen[bytes] | None = None) -> None:
        self.pid = pid
        self._child = child
        self._birth = _birth(pid)

    def is_running(self) -> bool:
        """Whether it still runs; a pid used again by another process doesn't count."""
        if self._child is not None:
            return self._child.poll() is None
        with suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)
        return self._birth is not None and _birth(self.pid) == self._birth

    def wait_ended(self, timeout_ms: int) -> bool:
        """Wait for its end; False if it still runs after `timeout_ms`."""
        return wait_until(lambda: not self.is_running(), timeout_ms)

    def send(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        if self.is_running():
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)
