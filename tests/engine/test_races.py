"""Much at the same moment: copies of one command, one wallet for many chats, one millisecond."""

import asyncio
import contextlib
import itertools
import os
import random
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
from sqlalchemy import Engine

from actors.supervisor.supervisor import SupervisorConfig
from meterd.rules.model import Policy
from persistence.redis.client import connect
from tests.books import assert_balanced
from tests.engine.harness import KEYS, idle, running
from tests.engine.play import differences, outcomes
from tests.load import Entry, fold
from tests.seeds import new_seeds
from tests.servers import kinds, redis_server
from tests.world import World

SETTINGS = SupervisorConfig(actors_max=4, batch_max=10)
SEEDS = int(os.environ.get("METERD_TEST_SEEDS", "3"))
T0 = 1_700_000_000_000


def _at_once(client: redis.Redis, commands: Sequence[dict[str, str]]) -> list[str]:
    """Sent by many connections at the same time; returns their entries."""

    def add(fields: Any) -> str:
        added: Any = client.xadd(KEYS.commands, {**fields, "reply_to": "play"})
        return str(added.decode())

    with ThreadPoolExecutor(20) as threads:
        return list(threads.map(add, commands))


def _told(client: redis.Redis, entries: Sequence[str]) -> Counter[str]:
    told = outcomes(client)
    return Counter(told[entry] for entry in entries)


@pytest.mark.parametrize("kind", kinds())
def test_a_hundred_copies_of_a_command_have_one_effect(kind: str, engine: Engine) -> None:
    """All are answered as the first one; with another body they are in conflict with it."""

    async def play(url: str, client: redis.Redis) -> None:
        async with running(url, engine, Policy(), SETTINGS):
            same = {"type": "top_up", "id": "one", "user_id": "u", "amount": "5"}
            other = {**same, "amount": "6"}
            first = _at_once(client, [same] * 100)
            await idle(url)
            conflicts = _at_once(client, [other] * 10)
            await idle(url)
            assert _told(client, first) == {"ok": 100}
            assert _told(client, conflicts) == {"id_conflict": 10}
            wallet: Any = client.get(KEYS.wallet("u"))
            assert b'"balance":"5.000000"' in wallet
        assert differences(client, engine) == []

    with redis_server(kind) as url, contextlib.closing(connect(url)) as client:
        asyncio.run(play(url, client))


@pytest.mark.parametrize("kind", kinds())
def test_credits_for_ten_chats_open_ten_of_a_hundred(kind: str, engine: Engine) -> None:
    """Each chat owes a whole minute as it begins; they start at once, on several actors."""

    async def play(url: str, client: redis.Redis) -> None:
        async with running(url, engine, Policy(warn_ms=()), SETTINGS):
            _at_once(client, [{"type": "top_up", "id": "k", "user_id": "u", "amount": "10"}])
            await idle(url)
            minute = {"rate": "1", "increment_ms": "60000", "user_id": "u", "advisor_id": "v"}
            starts = _at_once(
                client,
                [
                    {"type": "start", "id": f"s{n}", "chat_id": f"c{n}", **minute}
                    for n in range(100)
                ],
            )
            await idle(url)
            assert _told(client, starts) == {"ok": 10, "insufficient_credits": 90}
        assert differences(client, engine) == []

    with redis_server(kind) as url, contextlib.closing(connect(url)) as client:
        asyncio.run(play(url, client))


@pytest.mark.parametrize("seed", new_seeds("races", SEEDS))
def test_what_comes_in_the_millisecond_of_exhaustion_is_decided_as_by_the_fold(
    seed: int, engine: Engine
) -> None:
    """``end``, ``top_up``, ``pause`` and ``set_rate`` around the last affordable millisecond."""
    print(f"seed {seed}")
    log = _around_zero(random.Random(seed))

    async def play(url: str, client: redis.Redis) -> None:
        for entry, fields in log:
            client.xadd(KEYS.commands, fields, id=entry)  # type: ignore[arg-type]
        async with running(url, engine, Policy(), SETTINGS):
            await idle(url)

    with redis_server() as url, contextlib.closing(connect(url)) as client:
        asyncio.run(play(url, client))
        assert_balanced(client, engine, log)
        assert differences(client, engine) == []


def _around_zero(chance: random.Random) -> list[Entry]:
    """Many users, each with two chats, of whom something is wanted just when credits end."""
    log: list[Entry] = []
    for n in range(40):
        log += _one_user(chance, f"u{n}", T0 + 1_000_000 * n)
    return log


def _one_user(chance: random.Random, user: str, at: int) -> list[Entry]:
    counter = itertools.count()

    def entry(ms: int, type_: str, **fields: str) -> Entry:
        count = next(counter)
        return f"{ms}-{count}", {"type": type_, "id": f"{user}.{count}", **fields}

    log = [entry(at, "top_up", user_id=user, amount="0.05")]
    for chat in ("a", "b"):
        people = {"chat_id": f"{user}{chat}", "user_id": user, "advisor_id": "v"}
        log.append(entry(at, "start", rate=chance.choice(["3", "7.5"]), **people))
    zero = _zero_at(log, user)
    for ms in sorted(zero + chance.choice([-1, 0, 0, 0, 1]) for _ in range(4)):
        act = chance.choice(["end", "top_up", "pause", "set_rate"])
        about = {"chat_id": f"{user}{chance.choice('ab')}"}
        more = {"top_up": {"user_id": user, "amount": "0.01"}, "set_rate": {**about, "rate": "9"}}
        log.append(entry(ms, act, **more.get(act, about)))
    ends = [entry(zero + 500_000, "end", chat_id=f"{user}{chat}") for chat in "ab"]
    return log + ends


def _zero_at(log: list[Entry], user: str) -> int:
    world = World(Policy())
    fold(world, log)
    zero = world.accounts[user].zero_at_ms
    assert zero is not None, "both chats burn"
    return zero
