"""A master that was demoted and stays up: connections to it go to the new one within seconds."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import redis
from sqlalchemy import Engine

from actors.supervisor.supervisor import SupervisorConfig
from loadtests.common.timeouts import scaled
from meterd import AsyncMeter, Meter
from meterd.rules.model import Policy
from meterd.sentinel_url import parse_sentinel_url
from persistence.errors import NotLeadingError
from persistence.redis.client import connect, connect_async
from persistence.redis.published_status import check_writable, read_status
from tests.engine.harness import KEYS, idle, running
from tests.engine.play import differences, until, until_state
from tests.proxy import Proxy, proxy_to
from tests.servers import kinds, redis_server, sentinel

SETTINGS = SupervisorConfig(actors_max=1, stop_timeout_ms=1_000)


class Pair(NamedTuple):
    """A master and its replica, and the address that clients know."""

    first: str
    second: str
    proxy: Proxy

    @property
    def client(self) -> redis.Redis:
        """A client of the first server."""
        return connect(self.first)

    def fail_over(self) -> None:
        """The replica becomes the master; the old master stays up, and so do its connections."""
        with connect(self.first) as first, connect(self.second) as second:
            second.replicaof("NO", "ONE")
            host, port = _address(self.second)
            first.replicaof(host, str(port))
        self.proxy.move(self.second)


def _address(url: str) -> tuple[str, int]:
    host, _, port = url.removeprefix("redis://").removesuffix("/0").partition(":")
    return host, int(port)


@contextlib.contextmanager
def _pair(kind: str) -> Iterator[Pair]:
    with redis_server(kind) as first, redis_server(kind) as second:
        with connect(second) as replica:
            replica.replicaof(*map(str, _address(first)))
            deadline = time.monotonic() + scaled(30)
            while replica.info("replication")["master_link_status"] != "up":
                assert time.monotonic() < deadline
                time.sleep(0.02)
        with proxy_to(first) as proxy:
            yield Pair(first, second, proxy)


def _play(coroutine: Coroutine[Any, Any, None]) -> None:
    asyncio.run(coroutine)


def _until_replicated(pair: Pair) -> Callable[[], bool]:
    def is_so() -> bool:
        with connect(pair.first) as first, connect(pair.second) as second:
            return bool(first.xlen(KEYS.commands) == second.xlen(KEYS.commands))

    return is_so


@pytest.mark.parametrize("kind", kinds())
def test_daemon_and_clients_follow_the_address_to_the_new_master(kind: str, engine: Engine) -> None:
    """Each had a connection to the old one, which answers, and refuses every write."""

    async def play(pair: Pair) -> None:
        url = pair.proxy.url
        async with AsyncMeter(url) as tasks:
            with Meter(url) as threads:
                with contextlib.suppress(NotLeadingError):
                    async with running(url, engine, Policy(), SETTINGS) as supervisor:
                        await asyncio.to_thread(threads.top_up, "u", "1")
                        await tasks.top_up("u", "1")
                        await until(_until_replicated(pair))
                        await idle(url)
                        assert (read_status(pair.client, KEYS) or {})["state"] == "ready"
                        pair.fail_over()
                        status = read_status(pair.client, KEYS) or {}
                        assert status["state"] == "degraded"
                        assert "read only replica" in status["why"]
                        # It leads no more: the new master's state is to be verified first.
                        await until(lambda: supervisor.is_over)
                sent = asyncio.gather(
                    asyncio.to_thread(threads.top_up, "u", "1", timeout_s=30),
                    tasks.top_up("u", "1", timeout_s=30),
                )
                async with running(url, engine, Policy(), SETTINGS) as supervisor:
                    assert [reply.outcome for reply in await sent] == ["ok", "ok"]
                    await until_state(supervisor, "ready")
                    await idle(pair.second)
        with connect(pair.second) as client:
            assert b'"4.000000"' in (client.get(KEYS.wallet("u")) or b"")
            assert differences(client, engine) == []

    with _pair(kind) as pair:
        _play(play(pair))


@pytest.mark.parametrize("kind", kinds())
def test_a_server_that_can_not_be_written_to_is_not_up(kind: str) -> None:
    """It answers, and refuses commands; the question leaves nothing behind."""

    async def play(pair: Pair) -> None:
        async with connect_async(pair.second) as client:
            with pytest.raises(redis.ReadOnlyError):
                await check_writable(client, KEYS)
        async with connect_async(pair.first) as client:
            await check_writable(client, KEYS)
            assert not await client.exists(KEYS.commands)

    with _pair(kind) as pair:
        _play(play(pair))


@pytest.mark.parametrize("kind", kinds())
def test_sentinels_are_asked_for_the_master(kind: str, engine: Engine, tmp_path: Path) -> None:
    """By the daemon and both clients, at the start and after a failover."""

    async def play(pair: Pair, url: str) -> None:
        async with AsyncMeter(url) as tasks:
            with Meter(url) as threads:
                with contextlib.suppress(NotLeadingError):
                    async with running(url, engine, Policy(), SETTINGS) as supervisor:
                        await asyncio.to_thread(threads.top_up, "u", "1")
                        await tasks.top_up("u", "1")
                        await until(_until_replicated(pair))
                        await asyncio.to_thread(_fail_over_by_sentinel, url)
                        await until(lambda: supervisor.is_over)
                sent = asyncio.gather(
                    asyncio.to_thread(threads.top_up, "u", "1", timeout_s=30),
                    tasks.top_up("u", "1", timeout_s=30),
                )
                async with running(url, engine, Policy(), SETTINGS):
                    assert [reply.outcome for reply in await sent] == ["ok", "ok"]

    with _pair(kind) as pair, sentinel(kind, tmp_path, _address(pair.first)) as url:
        _play(play(pair, url))


def _fail_over_by_sentinel(url: str) -> None:
    """Ask for a failover as soon as the Sentinel has found the replica, and wait for its end."""
    ((host, port), *_) = parse_sentinel_url(url).hosts
    with redis.Redis(host, port) as client:
        ask: Any = client.execute_command
        before = ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster")
        deadline = time.monotonic() + scaled(60)
        while ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster") == before:
            assert time.monotonic() < deadline
            with contextlib.suppress(redis.ResponseError):  # no replica is known yet, or under way
                ask("SENTINEL", "FAILOVER", "mymaster")
            time.sleep(0.05)
