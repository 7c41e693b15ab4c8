"""Both servers from start to stop."""

import os
import socket
import time
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
import redis

from daemon.embedded import EmbeddedServers, Urls
from tests.embedded._use import (
    facts_are_there,
    leave_facts,
    nothing_runs,
    pids,
    query,
    valkey,
)


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


def test_one_server_alone(home: Path) -> None:
    """The other one is configured elsewhere."""
    servers = EmbeddedServers(home, want_redis=True, want_postgres=False)
    urls = servers.start()
    assert urls.postgres_url is None
    assert not (home / "postgres").exists()
    servers.stop()


def test_logs_are_bounded(home: Path) -> None:
    """The last few starts are kept."""
    for _ in range(6):
        servers = EmbeddedServers(home, want_redis=True, want_postgres=False)
        servers.start()
        servers.stop()
    assert len(list((home / "logs").iterdir())) == 4
