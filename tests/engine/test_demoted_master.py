"""A master that was demoted and stays up: connections to it go to the new one within seconds."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import redis
from sqlalchemy import Engine

from actors.supervisor.supervisor import SupervisorConfig
from meterd import AsyncMeter, Meter
from meterd.rules.model import Policy
from persistence.errors import NotLeadingError
from persistence.redis.client import connect, connect_async
from persistence.redis.published_status import check_writable, read_status
from tests.engine.harness import KEYS, idle, running
from tests.engine.pair import Pair, fail_over_by_sentinel, replicated_pair
from tests.engine.play import differences, until, until_state
from tests.servers import kinds, sentinel

SETTINGS = SupervisorConfig(actors_max=1, stop_timeout_ms=1_000)


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
                        with connect(pair.first) as old:
                            assert (read_status(old, KEYS) or {})["state"] == "ready"
                            pair.fail_over()
                            status = read_status(old, KEYS) or {}
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

    with replicated_pair(kind) as pair:
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

    with replicated_pair(kind) as pair:
        _play(play(pair))


@pytest.mark.slow
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
                        await asyncio.to_thread(fail_over_by_sentinel, url)
                        await until(lambda: supervisor.is_over)
                sent = asyncio.gather(
                    asyncio.to_thread(threads.top_up, "u", "1", timeout_s=30),
                    tasks.top_up("u", "1", timeout_s=30),
                )
                async with running(url, engine, Policy(), SETTINGS):
                    assert [reply.outcome for reply in await sent] == ["ok", "ok"]

    with replicated_pair(kind) as pair, sentinel(kind, tmp_path, pair.first_address) as url:
        _play(play(pair, url))
