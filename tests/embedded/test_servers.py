"""Both servers through the lives and deaths of a daemon."""

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
import redis

from daemon.embedded import EmbeddedServerError, EmbeddedServers, HomeError, HomeInUse, Urls
from daemon.embedded.processes import ServerProcess, find_marked, mark_of
from tests.embedded._use import (
    end_daemon,
    facts_are_there,
    leave_facts,
    query,
    start_daemon,
    valkey,
)

ROOT = Path(__file__).parents[2]


def pids(home: Path) -> dict[str, int]:
    """The main process of each server."""
    postgres = int((home / "postgres" / "postmaster.pid").read_text().split("\n")[0])
    (valkey_pid,) = find_marked(mark_of(home / "valkey"), "valkey-server")
    return {"valkey": valkey_pid, "postgres": postgres}


def nothing_runs(home: Path) -> bool:
    marks = {"valkey-server": mark_of(home / "valkey"), "postgres": mark_of(home / "postgres")}
    return not any(find_marked(mark, command) for command, mark in marks.items())


def test_data_and_urls_outlive_a_stop(home: Path) -> None:
    """Start, stop, start: the same URLs, the same data; nothing runs in between."""
    servers = EmbeddedServers(home)
    first = servers.start()
    leave_facts(first)
    servers.stop()
    assert nothing_runs(home)
    second = servers.start()
    assert second == first
    assert facts_are_there(second)
    servers.stop()
    servers.stop()


def test_they_start_within_seconds(home: Path) -> None:
    """The first time with a database to make, then without."""
    servers = EmbeddedServers(home)
    took_s = []
    for _ in range(2):
        began = time.monotonic()
        servers.start()
        took_s.append(time.monotonic() - began)
        servers.stop()
    assert took_s[0] < 15
    assert took_s[1] < 5


def test_settings_are_durable_and_private(home: Path) -> None:
    """Append-only file, fsync, loopback only; no entry without the password."""
    servers = EmbeddedServers(home)
    urls = servers.start()
    with closing(valkey(urls)) as client:
        settings = client.config_get("*")
    wanted = {
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory-policy": "noeviction",
        "bind": "127.0.0.1",
        "save": "",
    }
    assert {name: settings[name] for name in wanted} == wanted
    for name, value in {"fsync": "on", "max_connections": "100"}.items():
        assert query(urls, f"SHOW {name}") == [(value,)]
    _assert_no_entry(urls)
    servers.stop()


def _assert_no_entry(urls: Urls) -> None:
    assert urls.redis_url is not None
    assert urls.postgres_url is not None
    for url in (urls.redis_url, urls.postgres_url):
        assert "@127.0.0.1:" in url
    address = urls.redis_url.rpartition("@")[2]
    for wrong in (f"redis://{address}", f"redis://:wrong@{address}"):
        with (
            closing(redis.Redis.from_url(wrong)) as client,
            pytest.raises(redis.AuthenticationError),
        ):
            client.ping()
    address = urls.postgres_url.rpartition("@")[2]
    for user in ("meterd", "postgres", "meterd:wrong"):
        with pytest.raises(psycopg2.OperationalError):
            psycopg2.connect(f"postgresql://{user}@{address}")


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
    time.sleep(1.2)  # the append-only file reaches the disk each second
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


def test_sessions_in_use_do_not_hold_up_the_stop(home: Path) -> None:
    """A client with an open transaction is sent away."""
    servers = EmbeddedServers(home)
    urls = servers.start()
    with closing(psycopg2.connect(urls.postgres_url)) as connection:
        connection.cursor().execute("SELECT 1")
        began = time.monotonic()
        servers.stop()
    assert time.monotonic() - began < 10
    assert nothing_runs(home)


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


def test_a_taken_port_is_replaced(home: Path) -> None:
    """The URL changes only if it must, and the data stay."""
    servers = EmbeddedServers(home)
    first = servers.start()
    leave_facts(first)
    servers.stop()
    ports = [
        int((url or "").rpartition(":")[2].split("/")[0])
        for url in (first.redis_url, first.postgres_url)
    ]
    with (
        socket.create_server(("127.0.0.1", ports[0])),
        socket.create_server(("127.0.0.1", ports[1])),
    ):
        second = servers.start()
    assert second.redis_url != first.redis_url
    assert second.postgres_url != first.postgres_url
    assert facts_are_there(second)
    servers.stop()


def test_the_terminals_interrupt_reaches_no_server(home: Path) -> None:
    """Each has a session of its own."""
    servers = EmbeddedServers(home)
    servers.start()
    for pid in pids(home).values():
        assert os.getsid(pid) == pid
    servers.stop()


def test_a_second_daemon_is_refused(home: Path) -> None:
    """With the pid of the first; which goes on undisturbed."""
    daemon, urls = start_daemon(home)
    leave_facts(urls)
    with pytest.raises(HomeInUse, match=rf"process {daemon.pid}\) runs in {home}"):
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
    with pytest.raises(HomeInUse):
        EmbeddedServers(home).start()
    first.stop()
    assert sorted(path.name for path in home.iterdir()) == ["lock"]


def test_one_server_alone(home: Path) -> None:
    """The other one is configured elsewhere."""
    servers = EmbeddedServers(home, want_redis=True, want_postgres=False)
    urls = servers.start()
    assert urls.postgres_url is None
    assert not (home / "postgres").exists()
    servers.stop()


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


def test_logs_are_bounded(home: Path) -> None:
    """The last few starts are kept."""
    for _ in range(6):
        servers = EmbeddedServers(home, want_redis=True, want_postgres=False)
        servers.start()
        servers.stop()
    assert len(list((home / "logs").iterdir())) == 4


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
    time.sleep(1.2)
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
    with pytest.raises(HomeInUse):
        EmbeddedServers(home, False, False).start()
    end_daemon(daemon)
    again = EmbeddedServers(home, False, False)
    again.start()
    again.stop()
    os.kill(child, signal.SIGKILL)
