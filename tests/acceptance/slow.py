"""Slow machines for tests: busy processes, and control groups with a part of a core."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from loadtests.common.live import LiveDaemon

BUSY_PROCESSES = 40
CPU_FOLDERS = (Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup"))
"""Where version 1 and version 2 of control groups have the CPU's."""
PERIOD_US = 100_000
HALF_A_CORE_US = PERIOD_US // 2


class CpuGroup:
    """A control group: what is in it shares its part of a core."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, pid: int) -> None:
        """Take a process in; what it starts from now on is in it, too."""
        (self.path / "cgroup.procs").write_text(str(pid))

    def limit(self, quota_us: int | None) -> None:
        """So many microseconds in each ``PERIOD_US``; None: no limit."""
        if (self.path / "cpu.cfs_quota_us").exists():
            (self.path / "cpu.cfs_period_us").write_text(str(PERIOD_US))
            (self.path / "cpu.cfs_quota_us").write_text(str(quota_us or -1))
        else:
            (self.path / "cpu.max").write_text(f"{quota_us or 'max'} {PERIOD_US}")


@contextlib.contextmanager
def cpu_group() -> Iterator[CpuGroup]:
    """A group without a limit, removed afterwards; skips where none can be made."""
    made = next(filter(None, map(_group_in, CPU_FOLDERS)), None)
    if made is None:
        pytest.skip("no control group with a CPU quota can be made here")
    try:
        yield made
    finally:
        _remove(made.path)


def _group_in(parent: Path) -> CpuGroup | None:
    group = CpuGroup(parent / f"meterd-test-{os.getpid()}")
    try:
        group.path.mkdir()
    except OSError:
        return None
    try:
        group.limit(None)
    except OSError:
        group.path.rmdir()
        return None
    return group


def _remove(group: Path) -> None:
    """A group can be removed when its last process is gone."""
    deadline = time.monotonic() + 30
    while True:
        try:
            group.rmdir()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@contextlib.contextmanager
def busy_processes(count: int, group: CpuGroup | None = None) -> Iterator[None]:
    """So many processes that do nothing but compute; they end with this process at the latest."""
    code = f"import os\nwhile os.getppid() == {os.getpid()}: sum(range(10000))"
    running = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(count)]
    try:
        for process in running if group is not None else ():
            assert group is not None
            group.add(process.pid)
        yield
    finally:
        for process in running:
            process.kill()
        for process in running:
            process.wait()


def log_lines(daemon: LiveDaemon, event: str) -> list[dict[str, Any]]:
    """The lines of one event in all logs of the daemon."""
    printed = daemon.home.parent / f"{daemon.home.name}.out"
    files = [printed, *(daemon.home / "logs").glob("*.log")]
    text = "\n".join(file.read_text(errors="replace") for file in files)
    lines = [json.loads(line) for line in text.splitlines() if line.startswith('{"')]
    return [line for line in lines if line.get("event") == event]
