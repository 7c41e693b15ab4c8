"""Places are given back: what was refused or has ended holds no actor."""

import asyncio
import itertools
from typing import Any

from msgspec.structs import replace
from sqlalchemy import Engine

from actors.supervisor.supervisor import SupervisorConfig
from meterd.rules.commands import entry_key
from meterd.rules.model import Policy
from persistence.redis.client import connect_async
from tests.engine.harness import KEYS, idle, running
from tests.servers import redis_server

STRICT = SupervisorConfig(actors_max=2, chats_per_actor=1, warm_pool_size=0, batch_max=1)
IDS = itertools.count()


async def _send(client: Any, **fields: str) -> None:
    await client.xadd(KEYS.commands, {"id": f"p{next(IDS)}", "reply_to": "r", **fields})


async def _outcomes(client: Any) -> list[str]:
    return [fields[b"outcome"].decode() for _, fields in await client.xrange(KEYS.reply("r"))]


def test_a_refused_start_keeps_no_place_whatever_else_names_the_chat(engine: Engine) -> None:
    """The start is refused for want of credits while other commands for the chat are behind it,
    in batches of their own; both actors are free afterwards."""

    async def play(url: str) -> None:
        client = connect_async(url)
        async with running(url, engine, Policy(), STRICT) as supervisor:
            for n in range(5):
                chat = {"chat_id": f"c{n}", "user_id": "poor"}
                await _send(client, type="start", advisor_id="v", **chat)
                for _ in range(4):
                    await _send(client, type="pause", **chat)
            await idle(url)
            assert supervisor.status()["open_chats"] == 0
            await _send(client, type="top_up", user_id="rich", amount="10")
            for n in range(3):
                await _send(
                    client, type="start", chat_id=f"r{n}", user_id="rich", advisor_id="v", rate="1"
                )
            await idle(url)
            outcomes = await _outcomes(client)
        refused = ["insufficient_credits", *["unknown_chat"] * 4] * 5
        assert outcomes == [*refused, "ok", "ok", "ok", "at_capacity"]
        await client.aclose()

    with redis_server() as url:
        asyncio.run(play(url))


def test_the_last_place_goes_to_the_start_that_came_first(engine: Engine) -> None:
    """Also when that one has to stand in line for its account, and a later one would not."""

    async def play(url: str) -> None:
        client = connect_async(url)
        await _send(client, type="top_up", user_id="u1", amount="10")
        await _send(client, type="top_up", user_id="u2", amount="10")
        for chat, user in (("a", "u1"), ("b", "u1"), ("c", "u2"), ("d", "u3")):
            await _send(client, type="start", chat_id=chat, user_id=user, advisor_id="v", rate="0")
        async with running(url, engine, Policy(), replace(STRICT, batch_max=100)):
            await idle(url)
            told: Any = await client.xrange(KEYS.reply("r"))
        await client.aclose()
        by_entry = sorted(told, key=lambda reply: entry_key(reply[1][b"entry"].decode()))
        outcomes = [fields[b"outcome"].decode() for _, fields in by_entry]
        assert outcomes[2:] == ["ok", "ok", "at_capacity", "at_capacity"]

    with redis_server() as url:
        asyncio.run(play(url))
