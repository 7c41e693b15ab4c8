"""Claims of chat ids on two servers: one chat has one partition, and nobody guesses."""

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Final, TypeVar

import pytest
import redis

from meterd.redis_servers import RedisServers
from meterd.rules.partitions import Partition, partition_of
from persistence.redis import chat_directory
from persistence.redis.chat_directory import ChatDirectory
from persistence.redis.client import AsyncRedisClients
from tests.chaos.servers import Redis
from tests.servers import VALKEY

pytestmark = pytest.mark.redis

TTL_MS: Final = 60_000
T = TypeVar("T")


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[list[Redis]]:
    servers = [Redis(VALKEY, tmp_path / name) for name in ("a", "b")]
    for one in servers:
        one.start()
    yield servers
    for one in servers:
        one.kill()


def _chat_of(partition: int) -> str:
    return next(f"c{n}" for n in itertools.count() if partition_of(f"c{n}", 2) == partition)


ON_A, ON_B = _chat_of(0), _chat_of(1)


def _with(servers: list[Redis], do: Callable[[ChatDirectory, ChatDirectory], Awaitable[T]]) -> T:
    """Do something with the directories of both partitions."""

    async def run() -> T:
        urls = RedisServers([one.url for one in servers])
        async with contextlib.aclosing(AsyncRedisClients(urls, 1.0)) as clients:
            return await do(*(ChatDirectory(clients, Partition(n, 2), TTL_MS) for n in (0, 1)))

    return asyncio.run(run())


def test_a_chat_that_one_has_claimed_is_elsewhere_for_the_other(servers: list[Redis]) -> None:
    """On whichever server the claim is; given up, it is free again."""

    async def do(first: ChatDirectory, second: ChatDirectory) -> None:
        both = [ON_A, ON_B]
        assert await first.look_up(both, set(both)) == (set(), set())
        assert await first.look_up(both, set(both)) == (set(), set()), "its own"
        assert await second.look_up(both, {ON_B}) == (set(both), set())
        await second.release(both)
        assert await second.look_up(both, set()) == (set(both), set()), "others' claims stay"
        await first.release(both)
        assert await second.look_up(both, set(both)) == (set(), set())

    _with(servers, do)


def test_while_the_other_server_is_away_nothing_is_known_of_its_chats(
    servers: list[Redis], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is waited for at first, then no more; the own server's claims are as ever."""
    monkeypatch.setattr(chat_directory, "CLAIM_WAIT_S", 0.3)

    async def do(first: ChatDirectory, second: ChatDirectory) -> None:
        servers[1].kill()
        asked_s = asyncio.get_running_loop().time()
        assert await first.look_up([ON_A, ON_B], {ON_A, ON_B}) == (set(), {ON_B})
        waited_s = asyncio.get_running_loop().time() - asked_s
        assert waited_s >= 0.3
        asked_s = asyncio.get_running_loop().time()
        assert await first.look_up([ON_B], set()) == (set(), {ON_B})
        assert asyncio.get_running_loop().time() - asked_s < 0.3, "it is known to be away"
        with pytest.raises(redis.RedisError):
            await second.look_up([ON_B], set())

    _with(servers, do)


def test_a_server_that_comes_back_in_time_is_waited_for(servers: list[Redis]) -> None:
    """As while a replica takes over."""

    async def do(first: ChatDirectory, second: ChatDirectory) -> None:
        servers[1].kill()
        asked = asyncio.create_task(first.look_up([ON_B], {ON_B}))
        await asyncio.to_thread(servers[1].start)
        assert await asked == (set(), set())
        assert await second.look_up([ON_B], set()) == ({ON_B}, set())

    _with(servers, do)
