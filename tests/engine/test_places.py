"""Places are given back: what was refused or has ended holds no actor."""

import asyncio
import itertools
from typing import Any

from sqlalchemy import Engine

from actors.rules.state import Policy
from actors.supervisor.supervisor import SupervisorSettings
from persistence.client import connect_async
from tests.engine.harness import KEYS, idle, running
from tests.servers import redis_server

STRICT = SupervisorSettings(actors_max=2, chats_per_actor=1, spares=0, batch_max=1)
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
