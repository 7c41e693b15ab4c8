"""Processes as /proc shows them: descendants at any depth, by what their titles say."""

import contextlib
import os
import signal
from pathlib import Path
from typing import NamedTuple


class Process(NamedTuple):
    """A living process; ``birth`` tells it from a later one with the same pid."""

    pid: int
    parent: int
    session: int
    birth: int
    title: str

    def is_alive(self) -> bool:
        """Whether it still runs, or is stopped; one that is only waited for does not count."""
        now = look(self.pid)
        return now is not None and now.birth == self.birth


def look(pid: int) -> Process | None:
    """The process, unless it has ended."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        title = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
        if fields[0] not in "ZX":
            text = title.decode(errors="replace").strip()
            return Process(pid, int(fields[1]), int(fields[3]), int(fields[19]), text)
    return None


def everything() -> list[Process]:
    """All processes that this user can see."""
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal())
    return [process for process in map(look, pids) if process is not None]


def descendants(root: int) -> list[Process]:
    """Children of ``root``, their children, and so on."""
    children: dict[int, list[Process]] = {}
    for process in everything():
        children.setdefault(process.parent, []).append(process)
    found, todo = [], [root]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += [process.pid for process in below]
    return found


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal, unless the process has ended."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
