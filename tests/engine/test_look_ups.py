"""Look-ups that fail or take long: nothing is dropped, and all goes on by itself."""

import asyncio
import contextlib
import itertools
import random
from collections.abc import Awaitable, Callable, Sequence

import pytest
import redis
from sqlalchemy import Engine

from actors.supervisor.closed_chats import ClosedChats
from actors.supervisor.supervisor import SupervisorConfig
from meterd.rules.model import Chat, Policy
from persistence.redis.client import connect
from tests.books import assert_balanced
from tests.engine.harness import idle, running
from tests.load import Load, Sender
from tests.servers import redis_server

DEDICATED = SupervisorConfig(actors_max=8, warm_pool_size=1, batch_max=7)

Find = Callable[[ClosedChats, Sequence[str]], Awaitable[dict[str, Chat]]]


def _play(engine: Engine, monkeypatch: pytest.MonkeyPatch, find: Find, load: Load) -> None:
    """Random commands through a daemon whose look-ups go through ``find``; the books balance."""

    async def play(url: str) -> None:
        with contextlib.closing(connect(url)) as client:
            async with running(url, engine, Policy(), DEDICATED):
                sender = Sender(client, load)
                await asyncio.to_thread(sender.begin)
                await asyncio.to_thread(sender.send_for, 1, 300)
                await asyncio.to_thread(sender.finish)
                await idle(url)
            assert_balanced(client, engine, sender.log)

    monkeypatch.setattr(ClosedChats, "find", find)
    with redis_server() as url:
        asyncio.run(play(url))


def test_entries_survive_a_failing_look_up(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every third question about chats that are not open fails while commands come in."""
    asked = itertools.count()
    find = ClosedChats.find

    async def sometimes(self: ClosedChats, chat_ids: Sequence[str]) -> dict[str, Chat]:
        if next(asked) % 3 == 1:
            raise redis.ConnectionError("away")
        return await find(self, chat_ids)

    _play(engine, monkeypatch, sometimes, Load(users=5, chats_per_user=2, seed=1))
    assert next(asked) > len(["one", "fails", "of three"])


@pytest.mark.parametrize("seed", range(4))
def test_nothing_stays_in_line_for_ever_however_long_look_ups_take(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """What a command waits for may be done while others in line are being looked up."""
    find, chance = ClosedChats.find, random.Random(seed)

    async def slowly(self: ClosedChats, chat_ids: Sequence[str]) -> dict[str, Chat]:
        await asyncio.sleep(chance.random() * 0.02)
        return await find(self, chat_ids)

    _play(engine, monkeypatch, slowly, Load(users=3, chats_per_user=4, seed=seed))
