"""One home, one daemon, and nobody else."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.embedded import EmbeddedServers, HomeError, HomeInUseError, Urls
from tests.embedded._use import (
    end_daemon,
    facts_are_there,
    leave_facts,
    start_daemon,
)
from tests.embedded.conftest import as_root

ROOT = Path(__file__).parents[2]


def test_everything_in_home_is_for_the_owner_alone(home: Path) -> None:
    """Folders 700, files 600."""
    os.umask(old := os.umask(0))
    os.umask(0)
    try:
        servers = EmbeddedServers(home)
        servers.start()
    finally:
        os.umask(old)
    for path in [home, *home.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    servers.stop()


def test_a_second_daemon_is_refused(home: Path) -> None:
    """With the pid of the first; which goes on undisturbed."""
    daemon, urls = start_daemon(home)
    leave_facts(urls)
    with pytest.raises(HomeInUseError, match=rf"process {daemon.pid}\) runs in {home}"):
        EmbeddedServers(home).start()
    assert facts_are_there(urls)
    end_daemon(daemon)
    servers = EmbeddedServers(home)
    servers.start()
    servers.stop()


def test_the_lock_is_taken_without_servers_too(home: Path) -> None:
    """One home, one daemon, wherever its servers are."""
    first = EmbeddedServers(home, want_redis=False, want_postgres=False)
    assert first.start() == Urls(None, None)
    with pytest.raises(HomeInUseError):
        EmbeddedServers(home).start()
    first.stop()
    assert sorted(path.name for path in home.iterdir()) == ["lock"]


def test_a_long_home_works(place: Path) -> None:
    """Longer than a Unix socket's path may be; with a space and a quote."""
    home = place / "a b'c\"d" / ("x" * 150)
    try:
        servers = EmbeddedServers(home)
        leave_facts(servers.start())
        servers.stop()
        assert facts_are_there(servers.start())
    finally:
        servers.stop()


@pytest.mark.parametrize("content", ["{", "[]", '{"valkey": 3}', '{"valkey": {"port": "x"}}'])
def test_a_damaged_file_of_passwords_is_named(home: Path, content: str) -> None:
    """Rather than overwritten."""
    home.mkdir(mode=0o700)
    (home / "servers.json").write_text(content)
    with pytest.raises(HomeError, match=r"servers\.json is damaged"):
        EmbeddedServers(home).start()


def test_a_home_open_to_all_is_refused(home: Path) -> None:
    """Anybody could put other data in it."""
    home.mkdir()
    home.chmod(0o777)
    with pytest.raises(HomeError, match="chmod o-w"):
        EmbeddedServers(home).start()


@pytest.mark.parametrize("name", ["valkey", "postgres", "servers.json", "run.json", "lock"])
@pytest.mark.parametrize("target", ["there", "missing"])
def test_a_link_in_a_home_is_refused(home: Path, place: Path, name: str, target: str) -> None:
    """It could lead to other data, or have us write somewhere else; nothing is written."""
    home.mkdir(mode=0o700)
    (place / "there").mkdir()
    (home / name).symlink_to(place / target)
    with pytest.raises(HomeError, match=f"{name} is a link"):
        EmbeddedServers(home).start()
    assert [path.name for path in home.iterdir()] == [name]
    assert not (place / "missing").exists()
    assert not list((place / "there").iterdir())


@as_root
@pytest.mark.parametrize("name", ["", "valkey", "servers.json", "jwt_secret"])
def test_what_somebody_else_owns_is_refused(home: Path, name: str) -> None:
    """Its owner could put other data in at any time."""
    home.mkdir(mode=0o700)
    path = home / name
    if name:
        path.write_text("{}")
    os.chown(path, 65534, 65534)
    with pytest.raises(HomeError, match=f"{path} belongs to user 65534"):
        EmbeddedServers(home).start()


def test_a_folder_in_a_home_that_all_may_write_is_refused(home: Path) -> None:
    """A closed home alone does not help once it is opened."""
    home.mkdir(mode=0o700)
    (home / "valkey").mkdir()
    (home / "valkey").chmod(0o777)
    with pytest.raises(HomeError, match="chmod o-w"):
        EmbeddedServers(home).start()


def test_a_home_that_is_a_file_is_refused(home: Path) -> None:
    """With its name."""
    home.write_text("")
    with pytest.raises(HomeError, match=str(home)):
        EmbeddedServers(home).start()


def test_the_lock_is_not_inherited(home: Path) -> None:
    """Programs that outlive a killed daemon don't keep its home locked."""
    code = """
import subprocess, sys, time
from pathlib import Path
from daemon.embedded import EmbeddedServers
EmbeddedServers(Path(sys.argv[1]), False, False).start()
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], close_fds=False)
print(child.pid, flush=True)
time.sleep(300)
"""
    command = [sys.executable, "-c", code, str(home)]
    daemon = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert daemon.stdout is not None
    child = int(daemon.stdout.readline())
    with pytest.raises(HomeInUseError):
        EmbeddedServers(home, False, False).start()
    end_daemon(daemon)
    again = EmbeddedServers(home, False, False)
    again.start()
    again.stop()
    os.kill(child, signal.SIGKILL)
