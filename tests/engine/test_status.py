"""What the supervisor publishes of itself: counts by type and outcome, times, what waits."""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest
import redis
from sqlalchemy import Engine, func, select
from structlog.testing import capture_logs

from actors.messages import INVALID_TYPE, ActorInfo
from actors.supervisor.gauges import Gauges, read_gauges
from actors.supervisor.supervisor import SupervisorConfig
from meterd.rules.model import Policy
from meterd.rules.redis_keys import GROUP
from persistence.postgres.tables import chat_time_records, ledger_entries
from persistence.redis.client import connect, connect_async
from tests.engine.harness import KEYS, ThreadProcess, idle, running
from tests.engine.play import send, until
from tests.servers import kinds, redis_server

SETTINGS = SupervisorConfig(actors_max=1)
DROPPED = ("replies.dropped", "dead_letters.dropped")
PEOPLE: Any = {"user_id": "u", "advisor_id": "v"}


def test_every_entry_is_counted_by_type_and_outcome_and_timed(engine: Engine) -> None:
    """And every change that time alone made by how late it took effect."""

    async def play(url: str, client: redis.Redis) -> None:
        policy = Policy(at_zero="suspend", grace_ms=50, warn_ms=())
        async with running(url, engine, policy, SETTINGS) as supervisor:
            send(client, type="top_up", user_id="u", amount="0.5")
            send(client, type="start", chat_id="a", **PEOPLE, rate="60")
            send(client, type="start", chat_id="a", **PEOPLE, rate="60")
            send(client, type="nonsense")
            send(client, type="start", chat_id="i", **PEOPLE, rate="0", idle_ms="50")
            # Paused as idle, suspended as credits were used up (which is an event, too), ended.
            await until(lambda: supervisor.status()["lateness_ms"]["count"] == 4)
            await idle(url)
            told = supervisor.status()
        settles = told["commands"].pop("settle")
        assert told["commands"] == {
            "top_up": {"ok": 1},
            "start": {"ok": 2, "already_started": 1},
            INVALID_TYPE: {"invalid_command": 1},
        }
        everything = sum(told["outcomes"].values())
        assert everything == 5 + settles["ok"] == told["latency_ms"]["count"]
        assert told["latency_ms"]["sum_ms"] < 30_000 * everything, "milliseconds since they came"
        assert told["lateness_ms"]["count"] == 4, "what a command did itself is not late"
        assert told["lateness_ms"]["sum_ms"] < 4 * 30_000

    with redis_server() as url, contextlib.closing(connect(url)) as client:
        asyncio.run(play(url, client))


def test_what_went_at_a_bound_is_logged_once_and_stands_in_the_status(engine: Engine) -> None:
    """What had gone before this daemon began is no news."""

    async def play(url: str, client: redis.Redis) -> None:
        client.hset(KEYS.progress, mapping={"unanswered": 5, "dead_dropped": 7})
        async with running(url, engine, Policy(), SETTINGS) as supervisor:
            await until(lambda: supervisor.status()["queue"]["unanswered"] == 5)
            client.hincrby(KEYS.progress, "unanswered", 2)
            await until(lambda: supervisor.status()["queue"]["unanswered"] == 7)
            client.hincrby(KEYS.progress, "dead_dropped", 3)
            await until(lambda: supervisor.status()["queue"]["dead_dropped"] == 10)
            told = supervisor.status()
        assert told["limits"].items() >= {"reply_streams": 50_000, "dead_bytes": 2**26}.items()
        assert told["memory"]["used_bytes"] > 0

    with redis_server() as url, contextlib.closing(connect(url)) as client, capture_logs() as lines:
        asyncio.run(play(url, client))
    logged = [(line["event"], line["entries"]) for line in lines if line["event"] in DROPPED]
    assert logged == [("replies.dropped", 2), ("dead_letters.dropped", 3)]


def test_credits_and_time_are_counted_as_the_books_have_them(engine: Engine) -> None:
    """To the micro-credit, by their movement; what a repeated id asks for is no movement."""

    async def play(url: str, client: redis.Redis) -> None:
        async with running(url, engine, Policy(), SETTINGS) as supervisor:
            send(client, type="top_up", user_id="u", amount="5", id="t")
            send(client, type="top_up", user_id="u", amount="5", id="t")
            send(client, type="adjust", user_id="u", amount="0.000007")
            send(client, type="adjust", user_id="u", amount="-0.5")
            send(client, type="start", chat_id="c", **PEOPLE, rate="60")
            await idle(url)
            send(client, type="end", chat_id="c")
            send(client, type="refund", chat_id="c", amount="0.000001")
            send(client, type="nonsense")
            await until(lambda: supervisor.status()["dead_letters"]["invalid_command"] == 1)
            told = supervisor.status()
        moved: Counter[str] = Counter()
        with engine.connect() as connection:
            for kind, amount in connection.execute(
                select(ledger_entries.c.kind, ledger_entries.c.amount)
            ):
                moved[f"{kind}{' down' if kind == 'adjustment' and amount < 0 else ''}"] += abs(
                    amount
                )
            (active_ms,) = connection.execute(select(func.sum(chat_time_records.c.active_ms))).one()
        assert told["credits"] == {
            "topped_up": "5.000000",
            "adjusted_up": "0.000007",
            "adjusted_down": "0.500000",
            "refunded": "0.000001",
            "charged": str(moved["charge"]),
        }
        assert {name: str(amount) for name, amount in moved.items() if name != "charge"} == {
            "top_up": "5.000000",
            "adjustment": "0.000007",
            "adjustment down": "0.500000",
            "refund": "0.000001",
        }
        assert told["active_ms"] == active_ms > 0
        assert told["events"]["wallet.topped_up"] == told["events"]["chat.ended"] == 1

    with redis_server() as url, contextlib.closing(connect(url)) as client:
        asyncio.run(play(url, client))


def test_who_takes_the_lead_speaks_before_anything_starts(engine: Engine) -> None:
    """What a killed one said last is not believed any longer than that."""
    heard: list[str] = []

    class Listening(ThreadProcess):
        async def info(self) -> ActorInfo:
            heard.append(json.loads(client.get(KEYS.status) or "{}").get("state", "nothing"))
            return await super().info()

    async def play(url: str) -> None:
        async with running(url, engine, Policy(), SETTINGS, Listening):
            await until(lambda: len(heard) > 0)

    with redis_server() as url, contextlib.closing(connect(url)) as client:
        client.set(KEYS.status, '{"state": "ready"}')
        asyncio.run(play(url))
    assert heard[0] == "recovering"


def _gauges(url: str) -> Gauges:
    async def read() -> Gauges:
        client = connect_async(url)
        try:
            return await read_gauges(client, KEYS)
        finally:
            await client.aclose()

    return asyncio.run(read())


def _now_ms(client: redis.Redis) -> int:
    seconds, micros = client.time()
    return int(seconds) * 1_000 + int(micros) // 1_000


def _age(client: redis.Redis, url: str, entry: bytes) -> tuple[int, int, int]:
    """What the gauge says, between what it may say at least and at most."""
    came_ms = int(entry.partition(b"-")[0])
    least_ms = _now_ms(client) - came_ms
    told_ms = _gauges(url).oldest_ms
    return least_ms, told_ms, _now_ms(client) - came_ms


@pytest.mark.parametrize("kind", kinds())
def test_the_oldest_command_is_the_first_in_hand_else_the_first_unread(kind: str) -> None:
    """Its age is the queue's time since it came; without any there is none."""
    with redis_server(kind=kind) as url, contextlib.closing(connect(url)) as client:
        client.xgroup_create(KEYS.commands, GROUP, id="0", mkstream=True)
        assert _gauges(url).oldest_ms == 0
        entries: list[Any] = [
            client.xadd(KEYS.commands, {"type": "end"}, id=str(_now_ms(client) - age_ms))
            for age_ms in (90_000, 80_000, 70_000)
        ]
        client.xreadgroup(GROUP, "meterd", {KEYS.commands: ">"}, count=2)
        for entry in entries:
            least_ms, told_ms, most_ms = _age(client, url, entry)
            assert least_ms <= told_ms <= most_ms
            client.xack(KEYS.commands, GROUP, entry)  # of the last one, which is unread, in vain
        client.xreadgroup(GROUP, "meterd", {KEYS.commands: ">"})
        client.xack(KEYS.commands, GROUP, entries[-1])
        assert _gauges(url).oldest_ms == 0


@pytest.mark.parametrize("kind", kinds())
def test_the_oldest_command_is_found_though_an_unread_one_was_deleted(kind: str) -> None:
    """After that the server does not say any more how many are unread."""
    with redis_server(kind=kind) as url, contextlib.closing(connect(url)) as client:
        client.xgroup_create(KEYS.commands, GROUP, id="0", mkstream=True)
        now_ms = _now_ms(client)
        for age_ms in (90_000, 80_000, 70_000):
            client.xadd(KEYS.commands, {"type": "end"}, id=f"{now_ms - age_ms}-0")
        client.xreadgroup(GROUP, "meterd", {KEYS.commands: ">"}, count=1)
        client.xack(KEYS.commands, GROUP, f"{now_ms - 90_000}-0")
        client.xdel(KEYS.commands, f"{now_ms - 80_000}-0")
        groups: Any = client.xinfo_groups(KEYS.commands)
        assert groups[0]["lag"] is None
        least_ms, told_ms, most_ms = _age(client, url, f"{now_ms - 70_000}-0".encode())
        assert least_ms <= told_ms <= most_ms


def test_a_recovery_says_how_many_chats_have_their_actor(engine: Engine) -> None:
    """Of those that were open; once it is over there is nothing to say."""
    may_start = asyncio.Event()
    chats = ("a", "b", "c")

    class Waiting(ThreadProcess):
        async def assign(self, chats: Mapping[str, str]) -> None:
            await may_start.wait()
            await super().assign(chats)

    async def play(url: str, client: redis.Redis) -> None:
        async with running(url, engine, Policy(), SETTINGS):
            for chat in chats:
                send(client, type="start", chat_id=chat, **PEOPLE, rate="0")
            await idle(url)
        async with running(url, engine, Policy(), SETTINGS, Waiting) as supervisor:
            wanted = {"chats_done": 0, "chats_total": 3}
            await until(lambda: supervisor.status()["recovery"] == wanted)
            may_start.set()
            await until(lambda: supervisor.status()["state"] == "ready")
            told = supervisor.status()
            assert told["recovery"] is None
            assert 0 <= told["now"] - told["state_since"] < 60_000
            assert told["lease_changes"] == 2, "both have led"

    with redis_server() as url, contextlib.closing(connect(url)) as client:
        asyncio.run(play(url, client))


def test_the_oldest_commit_that_waits_for_postgres_has_its_age() -> None:
    """By the queue's clock; without any there is none."""
    with redis_server() as url, contextlib.closing(connect(url)) as client:
        assert _gauges(url).outbox_oldest_ms == 0
        came_ms = _now_ms(client) - 90_000
        for at_ms in (came_ms, came_ms + 80_000):
            client.xadd(KEYS.outbox, {"facts": "x"}, id=f"{at_ms}-0")
        least_ms = _now_ms(client) - came_ms
        told_ms = _gauges(url).outbox_oldest_ms
        assert least_ms <= told_ms <= _now_ms(client) - came_ms
