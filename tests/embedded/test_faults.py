"""Servers and daemons that are killed, hang, or have lost something."""

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from daemon.embedded import EmbeddedServerError, EmbeddedServers
from daemon.embedded.processes import ServerProcess, find_marked, mark_of
from tests.embedded._use import (
    end_daemon,
    facts_are_there,
    leave_facts,
    nothing_runs,
    pids,
    query,
    start_daemon,
)

pytestmark = pytest.mark.slow


def test_a_killed_daemon_leaves_servers_that_the_next_takes_over(home: Path) -> None:
    """Kill -9: the same processes, the same data; the next one's stop ends them."""
    daemon, urls = start_daemon(home)
    leave_facts(urls)
    before = pids(home)
    end_daemon(daemon)
    servers = EmbeddedServers(home)
    assert servers.start() == urls
    assert pids(home) == before
    assert facts_are_there(urls)
    servers.stop()
    assert nothing_runs(home)


@pytest.mark.parametrize("killed", [("valkey",), ("postgres",), ("valkey", "postgres")])
def test_killed_servers_are_started_again_with_their_data(
    home: Path, killed: tuple[str, ...]
) -> None:
    """After kill -9 of the daemon and of one server or both."""
    daemon, urls = start_daemon(home)
    leave_facts(urls)
    before = pids(home)
    end_daemon(daemon)
    for name in killed:
        os.kill(before[name], signal.SIGKILL)
    servers = EmbeddedServers(home)
    assert servers.start() == urls
    assert facts_are_there(urls)
    changed = {name for name, pid in pids(home).items() if pid != before[name]}
    assert changed == set(killed)
    servers.stop()


@pytest.mark.parametrize("pid", [pytest.param(os.getpid(), id="ours"), 1, 2_000_000_000])
def test_a_stale_pid_file_is_no_hindrance(home: Path, pid: int) -> None:
    """Whoever has the pid now: this process, init, nobody."""
    servers = EmbeddedServers(home)
    leave_facts(servers.start())
    text = (home / "postgres" / "postmaster.pid").read_text()
    servers.stop()
    stale = "\n".join([str(pid), *text.split("\n")[1:]])
    (home / "postgres" / "postmaster.pid").write_text(stale)
    assert facts_are_there(servers.start())
    servers.stop()


def test_a_database_that_was_half_made_is_made_anew(home: Path) -> None:
    """A first start that was killed leaves a draft, which counts for nothing."""
    (home / "postgres.new" / "base").mkdir(parents=True)
    home.chmod(0o700)
    servers = EmbeddedServers(home)
    assert query(servers.start(), "SELECT 1") == [(1,)]
    servers.stop()


def test_a_server_that_cannot_start_says_why(home: Path) -> None:
    """The end of its log, and nothing is left running or locked."""
    servers = EmbeddedServers(home)
    servers.start()
    servers.stop()
    (home / "postgres" / "global" / "pg_control").unlink()
    with pytest.raises(
        EmbeddedServerError, match=r"(?s)didn't start.*postgres\.log ends:.*pg_control"
    ):
        servers.start()
    assert nothing_runs(home)
    EmbeddedServers(home, want_redis=False, want_postgres=False).start()


def test_a_server_that_hangs_is_reported_not_doubled(home: Path) -> None:
    """Two servers must never have the same data; stop says what still runs."""
    servers = EmbeddedServers(home, want_redis=True, want_postgres=False)
    servers.start()
    pid = find_marked(mark_of(home / "valkey"), "valkey-server")[0]
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(EmbeddedServerError, match=rf"process {pid}\) still runs after 200 ms"):
            servers.stop(200)
    finally:
        os.kill(pid, signal.SIGCONT)
    servers.stop()
    assert not ServerProcess(pid).is_running()


@pytest.mark.parametrize("killed", ["valkey", "postgres"])
def test_a_server_that_ends_under_the_daemon_is_started_again(home: Path, killed: str) -> None:
    """At the same URL, with its data."""
    servers = EmbeddedServers(home)
    urls = servers.start()
    leave_facts(urls)
    assert servers.restart_ended() == []
    pid = pids(home)[killed]
    os.kill(pid, signal.SIGKILL)
    while not (restarted := servers.restart_ended()):
        time.sleep(0.01)
    assert restarted == [killed]
    assert facts_are_there(urls)
    servers.stop()
    assert nothing_runs(home)


def test_a_server_that_is_shutting_down_is_not_taken_over(home: Path) -> None:
    """Its end is awaited, then it is started again."""
    daemon, urls = start_daemon(home)
    leave_facts(urls)
    before = pids(home)
    end_daemon(daemon)
    with closing(psycopg2.connect(urls.postgres_url)):
        os.kill(before["postgres"], signal.SIGTERM)  # waits for the session to end
        closer = subprocess.Popen(
            [
                sys.executable,
                "-c",
                "import os, time, sys; time.sleep(1); os.kill(int(sys.argv[1]), 2)",
                str(before["postgres"]),
            ],
        )
        os.kill(before["valkey"], signal.SIGTERM)
        servers = EmbeddedServers(home)
        assert servers.start() == urls
    closer.wait()
    assert facts_are_there(urls)
    assert pids(home)["postgres"] != before["postgres"]
    servers.stop()


def test_a_server_with_another_password_is_left_alone(home: Path) -> None:
    """Its data are not given to a second one."""
    servers = EmbeddedServers(home)
    servers.start()
    running = pids(home)
    secret = (home / "servers.json").read_text()
    (home / "servers.json").unlink()
    servers._lock.free()
    with pytest.raises(EmbeddedServerError, match=f"process {running['valkey']}"):
        EmbeddedServers(home).start()
    (home / "servers.json").write_text(secret)
    servers.stop()
