"""Nobody else on the machine gets at a running daemon's files."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

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
