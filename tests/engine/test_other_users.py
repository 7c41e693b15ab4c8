"""Commands of one user that name another user's chat: refused, and without any other effect."""

import asyncio
import itertools
from typing import Any

from sqlalchemy import Engine

from actors.supervisor.supervisor import SupervisorConfig
from loadtests.common.timeouts import scaled
from meterd.rules.model import Policy
from persistence.postgres import reader
from persistence.redis.client import connect_async
from tests.engine.harness import KEYS, idle, running
from tests.servers import redis_server

ONE_ACTOR = SupervisorConfig(actors_max=1)
IDS = itertools.count()


async def _send(client: Any, **fields: str) -> None:
    await client.xadd(KEYS.commands, {"id": f"s{next(IDS)}", "reply_to": "r", **fields})


async def _outcomes(client: Any) -> list[str]:
    told: Any = await client.xrange(KEYS.reply("r"))
    outcomes = {fields[b"entry"]: fields[b"outcome"].decode() for _, fields in told}
    return [outcomes[entry] for entry in sorted(outcomes)]


async def _paused(client: Any) -> None:
    async with asyncio.timeout(scaled(10)):
        while not any(f[b"event"] == b"chat.paused" for _, f in await client.xrange(KEYS.events)):
            await asyncio.sleep(0.02)


def test_a_strangers_command_leaves_the_timer_where_it_is(engine: Engine) -> None:
    """The chat still becomes idle at its time, though its actor has refused the stranger."""
    start = {"type": "start", "advisor_id": "v", "rate": "0"}

    async def play(url: str) -> None:
        client = connect_async(url)
        async with running(url, engine, Policy(), ONE_ACTOR):
            await _send(client, chat_id="c", user_id="owner", idle_ms="1000", **start)
            await _send(client, chat_id="d", user_id="stranger", **start)
            await idle(url)
            await _send(client, type="heartbeat", chat_id="c", user_id="stranger")
            await idle(url)
            await _send(client, type="top_up", user_id="owner", amount="1")
            await idle(url)
            assert await _outcomes(client) == ["ok", "ok", "user_mismatch", "ok"]
            await _paused(client)
        await client.aclose()

    with redis_server() as url:
        asyncio.run(play(url))


def test_a_start_of_a_strangers_ended_chat_takes_nothing_that_follows(engine: Engine) -> None:
    """Right behind it, a command that names no user is still the owner's."""

    async def play(url: str) -> None:
        client = connect_async(url)
        async with running(url, engine, Policy(), ONE_ACTOR):
            await _send(client, type="top_up", user_id="owner", amount="1")
            chat = {"chat_id": "c", "advisor_id": "v", "rate": "60"}
            await _send(client, type="start", user_id="owner", **chat)
            await asyncio.sleep(0.05)
            await _send(client, type="end", chat_id="c")
            await idle(url)
        await _send(client, type="start", user_id="stranger", **chat)
        await _send(client, type="refund", chat_id="c", amount="0.000001")
        async with running(url, engine, Policy(), ONE_ACTOR):
            await idle(url)
            assert (await _outcomes(client))[3:] == ["user_mismatch", "ok"]
        await client.aclose()

    with redis_server() as url:
        asyncio.run(play(url))


def test_what_names_a_chat_that_was_refused_belongs_to_nobody(engine: Engine) -> None:
    """Though its start was on its way: as in the fold, no account goes past it."""

    async def play(url: str) -> None:
        client = connect_async(url)
        chat = {"chat_id": "c", "advisor_id": "v", "rate": "1"}
        await _send(client, type="start", user_id="poor", **chat)
        await _send(client, type="pause", chat_id="c")
        async with running(url, engine, Policy(), ONE_ACTOR):
            await idle(url)
            assert await _outcomes(client) == ["insufficient_credits", "unknown_chat"]
        await client.aclose()
        with engine.connect() as connection:
            rows = list(reader.journal_since(connection, 0))
        assert [row.user_id for row in rows] == ["poor", None]

    with redis_server() as url:
        asyncio.run(play(url))
