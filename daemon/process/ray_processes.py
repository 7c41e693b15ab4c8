"""Ray's own processes of this engine: Ray itself notices after a minute that one has died."""

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Final

NAMES: Final = ("gcs_server", "raylet")

_ENDED: Final = "ZX"
_STOPPED: Final = "Tt"


def children_of(pid: int) -> dict[int, str]:
    """The names of a process's children by their ids, as /proc has them now."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            state = _stat(int(entry.name))
            if state is not None and state[2] == pid:
                found[int(entry.name)] = state[0]
    return found


def descendants_of(pid: int) -> list[int]:
    """All processes below one, children before grandchildren, as /proc has them now."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        stat = _stat(int(entry.name)) if entry.name.isdecimal() else None
        if stat is not None:
            children.setdefault(stat[2], []).append(int(entry.name))
    found = [pid]
    for one in found:
        found += children.get(one, ())
    return found[1:]


def kill_descendants() -> None:
    """End all processes below this one at once, stopped ones included.

    Ray's agents watch their node by themselves, but one whose node ended while it was
    starting stays for ever; and they overwrite their environment, so that no mark finds them later.
    """
    for pid in descendants_of(os.getpid()):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def marked_processes(mark: bytes) -> list[int]:
    """Living processes that have started with this in their environment."""
    return [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdecimal() and _is_marked(entry, mark)
    ]


def _is_marked(entry: Path, mark: bytes) -> bool:
    with contextlib.suppress(OSError):
        if mark in (entry / "environ").read_bytes().split(b"\0"):
            stat = _stat(int(entry.name))
            return stat is not None and stat[1] not in _ENDED
    return False


def _stat(pid: int) -> tuple[str, str, int] | None:
    """A process's name, state and parent; None if it is gone."""
    with contextlib.suppress(OSError):
        text = Path(f"/proc/{pid}/stat").read_text()
        name, rest = text[text.index("(") + 1 : text.rindex(")")], text[text.rindex(")") + 2 :]
        state, parent = rest.split()[:2]
        return name, state, int(parent)
    return None


class RayProcesses:
    """The servers of a Ray session that this process has started, if it has."""

    def __init__(self, owner: int, stopped_s_max: float) -> None:
        """Find them below ``owner``; stopped for ``stopped_s_max`` seconds, one counts as dead."""
        found = children_of(owner)
        self._pids = {pid: name for pid, name in found.items() if name in NAMES}
        self._stopped_s_max = stopped_s_max
        self._well_at = dict.fromkeys(self._pids, time.monotonic())

    def problem(self) -> str:
        """The problem of one of them; empty if there is none."""
        for pid, name in self._pids.items():
            stat = _stat(pid)
            if stat is None or stat[1] in _ENDED:
                return f"{name} (process {pid}) has ended"
            if stat[1] not in _STOPPED:
                self._well_at[pid] = time.monotonic()
            elif time.monotonic() - self._well_at[pid] > self._stopped_s_max:
                return f"{name} (process {pid}) has been stopped"
        return ""
