"""Homes for servers, and proof that no server outlives its test."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.embedded.processes import ServerProcess, find_marked, mark_of


def end_servers(home: Path) -> None:
    """Kill what a failed test left running in a home."""
    for name, command in (("valkey", "valkey-server"), ("postgres", "postgres")):
        folder = home / name
        for pid in find_marked(mark_of(folder), command) if folder.exists() else []:
            process = ServerProcess(pid)
            process.send(signal.SIGKILL)
            process.wait_ended(5000)


@pytest.fixture
def place() -> Iterator[Path]:
    """A closed folder that stands for somebody's home, such as /root."""
    folder = Path(tempfile.mkdtemp(prefix="meterd-test-"))
    yield folder
    end_servers(folder / "home")
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def home(place: Path) -> Path:
    """A METERD_HOME that is not there yet."""
    return place / "home"


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be someone else")
