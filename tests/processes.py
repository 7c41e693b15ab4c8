"""The processes that a daemon has started, found by the METERD_HOME that they inherited."""

import contextlib
import time
from pathlib import Path

from loadtests.common.timeouts import scaled


def processes_of(home: Path) -> list[tuple[int, str]]:
    """The ids and command lines of the processes that were started with this METERD_HOME."""
    wanted = f"METERD_HOME={home}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                found.append((int(folder.name), command))
    return found


def until_none_of(home: Path, timeout_s: float = 10) -> None:
    """Wait until none of them runs any more; fails with those that do."""
    deadline = time.monotonic() + scaled(timeout_s)
    while (left := processes_of(home)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == []
