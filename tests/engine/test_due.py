"""Due changes come by themselves, at their millisecond, whichever actor the chats live on."""

import asyncio
import contextlib
import itertools
from typing import Any

import pytest
from sqlalchemy import Engine

from actors.supervisor.supervisor import SupervisorConfig
from loadtests.common.timeouts import scaled
from meterd.rules.model import Policy
from persistence.redis.client import connect, connect_async
from tests.engine.harness import KEYS, running
from tests.servers import redis_server

DEDICATED = SupervisorConfig(actors_max=6, warm_pool_size=2)
SHARED = SupervisorConfig(actors_max=1)
IDS = itertools.count()


async def _send(client: Any, **fields: str) -> int:
    entry = await client.xadd(KEYS.commands, {"id": f"k{next(IDS)}", **fields})
    return int(entry.partition(b"-")[0])


async def _events(client: Any, name: str, count: int) -> list[dict[bytes, bytes]]:
    """Wait for so many events of a name; fails after some seconds without them."""
    async with asyncio.timeout(scaled(25)):
        while True:
            told = [f for _, f in await client.xrange(KEYS.events) if f[b"event"] == name.encode()]
            if len(told) >= count:
                return told
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("settings", [DEDICATED, SHARED], ids=["dedicated", "shared"])
@pytest.mark.parametrize("ends_first", ["none", "first", "second"])
def test_two_chats_of_one_account_end_when_their_credits_do(
    settings: SupervisorConfig, ends_first: str, engine: Engine
) -> None:
    """Also after one of them was ended by command, by an actor that then has none of them."""

    async def play(url: str) -> None:
        client = connect_async(url)
        async with running(url, engine, Policy(warn_ms=()), settings):
            await _send(client, type="top_up", user_id="u", amount="0.3")
            first = await _send(
                client, type="start", chat_id="a", user_id="u", advisor_id="v", rate="12"
            )
            await _events(client, "chat.started", 1)
            second = await _send(
                client, type="start", chat_id="b", user_id="u", advisor_id="v", rate="6"
            )
            await _events(client, "chat.started", 2)
            ended, used, burns = 0, 200 * (second - first), 300
            if ends_first != "none":
                chat, left = {"first": ("a", 100), "second": ("b", 200)}[ends_first]
                third = await _send(client, type="end", chat_id=chat)
                used, burns, ended = used + 300 * (third - second), left, 1
                second = third
            told = await _events(client, "chat.ended", 2)
            at = second + (300_000 - used) // burns
            assert [int(e[b"at"]) for e in told[ended:]] == [at] * (2 - ended)
            assert (await _events(client, "credits.exhausted", 1))[0][b"at"] == str(at).encode()
        await client.aclose()

    with redis_server() as url:
        asyncio.run(play(url))


def test_an_idle_chat_is_paused_and_a_suspended_one_ends_in_time(engine: Engine) -> None:
    """Idle pause and end of grace, nobody sending anything."""

    async def play(url: str) -> None:
        client = connect_async(url)
        policy = Policy(at_zero="suspend", grace_ms=300)
        async with running(url, engine, policy, DEDICATED):
            await _send(client, type="top_up", user_id="u", amount="0.1")
            idle = await _send(
                client,
                type="start",
                chat_id="i",
                user_id="u",
                advisor_id="v",
                rate="0",
                idle_ms="150",
            )
            paused = (await _events(client, "chat.paused", 1))[0]
            assert (paused[b"at"], paused[b"reason"]) == (str(idle + 150).encode(), b"idle")
            burning = await _send(
                client, type="start", chat_id="s", user_id="u", advisor_id="v", rate="60"
            )
            suspended = (await _events(client, "chat.suspended", 1))[0]
            ended = (await _events(client, "chat.ended", 1))[0]
            assert int(suspended[b"at"]) == burning + 100
            assert int(ended[b"at"]) == burning + 100 + 300
        await client.aclose()

    with redis_server() as url:
        asyncio.run(play(url))


def test_credits_that_last_for_centuries_do_not_stop_the_clock(engine: Engine) -> None:
    """No time-out of the system is so long; what is due soon still comes."""

    async def play(url: str) -> None:
        client = connect_async(url)
        async with running(url, engine, Policy(), SHARED):
            await _send(client, type="top_up", user_id="rich", amount="999999999")
            await _send(
                client, type="start", chat_id="r", user_id="rich", advisor_id="v", rate="0.000001"
            )
            await _events(client, "chat.started", 1)
            await asyncio.sleep(0.2)
            soon = await _send(
                client,
                type="start",
                chat_id="s",
                user_id="u",
                advisor_id="v",
                rate="0",
                idle_ms="50",
            )
            assert int((await _events(client, "chat.paused", 1))[0][b"at"]) == soon + 50
        await client.aclose()

    with redis_server() as url:
        asyncio.run(play(url))


def test_nothing_due_means_nothing_sent(engine: Engine) -> None:
    """Chats without end cost no entry in the queue, however long they run."""

    async def play(url: str) -> None:
        async with running(url, engine, Policy(), SHARED):
            client = connect_async(url)
            for n in range(20):
                await _send(
                    client, type="start", chat_id=f"c{n}", user_id="u", advisor_id="v", rate="0"
                )
            await _events(client, "chat.started", 20)
            await asyncio.sleep(0.5)
            assert await client.xlen(KEYS.commands) == 20
            await client.aclose()

    with redis_server() as url:
        asyncio.run(play(url))
        with contextlib.suppress(Exception):
            connect(url).close()
