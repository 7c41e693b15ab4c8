"""Nobody else gets at a running daemon's files, and no other machine at its ports."""

import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.process.ray_processes import descendants_of
from loadtests.common.live import LiveDaemon

pytestmark = [pytest.mark.acceptance, pytest.mark.ray]


def _reachable(folder: Path) -> Iterator[Path]:
    """All paths from a folder on that a stranger could get to."""
    mode = folder.stat().st_mode
    yield folder
    if not mode & stat.S_IXOTH:
        return
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            yield from _reachable(path)
        else:
            yield path


def test_no_path_of_a_running_daemon_can_be_entered_or_written_by_others(live: LiveDaemon) -> None:
    """Ray makes its folders writable for everybody: ours around them is closed."""
    ray_folder = Path((live.home / "ray_folder").read_text())
    inside = [path.stat().st_mode for path in ray_folder.iterdir()]
    assert inside, "Ray works in it"
    for folder in (live.home, ray_folder):
        mode = folder.stat().st_mode
        assert not mode & (stat.S_IRWXO | stat.S_IRWXG), oct(mode)
        assert folder.stat().st_uid == os.geteuid()
        open_to_all = [
            path
            for path in _reachable(folder)
            if path.lstat().st_mode & (stat.S_IWOTH | stat.S_IWGRP)
        ]
        assert open_to_all == []


def _listening(pid: int) -> list[str]:
    """The addresses on which a process and those below it listen, as ss names them."""
    told = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=True).stdout
    pids = {pid, *descendants_of(pid)}
    lines = [line for line in told.splitlines() if any(f"pid={p}," in line for p in pids)]
    return [line.split()[3] for line in lines]


@pytest.mark.skipif(shutil.which("ss") is None, reason="ss is not installed")
def test_nothing_of_a_daemon_listens_on_another_address_than_loopback(live: LiveDaemon) -> None:
    """Ray neither, which has this machine alone: so the machine's address may change, too."""
    assert live.process is not None
    found = _listening(live.process.pid)
    assert len(found) > 5, "servers, gateway and Ray's processes"
    loopback = ("127.0.0.1:", "[::ffff:127.0.0.1]:", "[::1]:")
    assert [address for address in found if not address.startswith(loopback)] == []
