"""When a node bids for the lease of a partition, by whose turn it is."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import NamedTuple

import pytest
from sqlalchemy import Engine

from actors.supervisor import leadership
from actors.supervisor.balance import Turn
from actors.supervisor.leadership import Leadership
from meterd.rules.redis_keys import Keys
from persistence.redis.client import connect, connect_async
from persistence.redis.command_stream import CommandStream
from persistence.redis.functions import load_functions
from persistence.redis.integrity import IntegrityCheck
from tests.servers import redis_server

LEASE_MS = 60_000
"""Nothing here ends because a lease runs out."""


class Bidder(NamedTuple):
    """A node that may lead."""

    queue: CommandStream
    leadership: Leadership
    pauses: list[float]

    async def bid(self, most: int) -> bool:
        """Try so many times; whether it leads."""

        async def pause(seconds: float) -> None:
            self.pauses.append(seconds)
            await asyncio.sleep(0)

        async def report(state: str, why: str) -> None:
            assert (state, why) == ("standby", leadership.LED_ELSEWHERE)

        return await self.leadership.acquire(report, pause, lambda: len(self.pauses) >= most)


@contextlib.asynccontextmanager
async def _bidder(url: str, engine: Engine, token: str, turn: Turn) -> AsyncIterator[Bidder]:
    client = connect_async(url)
    queue = CommandStream(client, Keys(), token)
    integrity = IntegrityCheck(client, Keys(), engine)
    try:
        yield Bidder(queue, Leadership(queue, integrity, LEASE_MS, lambda: turn), [])
    finally:
        await client.aclose()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that each look at the lease moves on by an eighth of what a node leaves to others."""
    now = [128.0]

    def monotonic() -> float:
        now[0] += leadership.YIELD_S / 8
        return now[0]

    # The module's own name: the event loop has a clock, too.
    monkeypatch.setattr(leadership, "time", SimpleNamespace(monotonic=monotonic))
    return now


@pytest.mark.parametrize(("turn", "looks"), [(Turn.ANY, 0), (Turn.FIRST, 0), (Turn.LAST, 8)])
def test_a_free_lease_is_left_for_a_while_to_the_node_that_should_lead(
    turn: Turn, looks: int, engine: Engine, clock: list[float]
) -> None:
    """Whoever should lead takes it at once; another one only when nobody has."""

    async def play(url: str) -> None:
        async with _bidder(url, engine, "one", turn) as one:
            assert await one.bid(most=100)
            assert len(one.pauses) == looks

    assert clock
    with redis_server() as url, contextlib.closing(connect(url)) as client:
        load_functions(client)
        asyncio.run(play(url))


@pytest.mark.parametrize("turn", list(Turn))
def test_nobody_takes_a_lease_that_is_held(turn: Turn, engine: Engine, clock: list[float]) -> None:
    """However long it waits."""

    async def play(url: str) -> None:
        async with (
            _bidder(url, engine, "one", Turn.ANY) as one,
            _bidder(url, engine, "two", turn) as two,
        ):
            assert await one.bid(most=1)
            assert not await two.bid(most=30)
            await one.queue.resign()
            assert await two.bid(most=100)

    assert clock
    with redis_server() as url, contextlib.closing(connect(url)) as client:
        load_functions(client)
        asyncio.run(play(url))


def test_a_lease_that_was_taken_in_between_counts_from_its_end(
    engine: Engine, clock: list[float]
) -> None:
    """The time that it was free before does not count."""

    async def play(url: str) -> None:
        async with (
            _bidder(url, engine, "one", Turn.FIRST) as one,
            _bidder(url, engine, "two", Turn.LAST) as two,
        ):
            assert not await two.bid(most=5)
            assert await one.bid(most=1)
            assert not await two.bid(most=6)
            await one.queue.resign()
            assert await two.bid(most=100)
            assert len(two.pauses) == 6 + 8

    assert clock
    with redis_server() as url, contextlib.closing(connect(url)) as client:
        load_functions(client)
        asyncio.run(play(url))


@pytest.mark.parametrize("turn", list(Turn))
def test_a_lease_that_a_daemon_has_left_behind_is_its_own(
    turn: Turn, engine: Engine, clock: list[float]
) -> None:
    """Its supervisor ends and another one begins, as after a restart of Redis: nobody waits."""

    async def play(url: str) -> None:
        async with (
            _bidder(url, engine, "one", Turn.ANY) as before,
            _bidder(url, engine, "one", turn) as after,
        ):
            assert await before.bid(most=1)
            assert await after.bid(most=1)
            assert not after.pauses

    assert clock
    with redis_server() as url, contextlib.closing(connect(url)) as client:
        load_functions(client)
        asyncio.run(play(url))
