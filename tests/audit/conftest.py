"""A system after random load, of which each test gets a copy to break."""

import asyncio
import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import redis
from sqlalchemy import Engine, make_url, text
from typer.testing import CliRunner

from actors.supervisor.supervisor import SupervisorConfig
from daemon.cli import app
from meterd.rules.model import Policy
from persistence.postgres.engine import make_engine
from persistence.redis.client import connect
from tests.databases import fresh
from tests.engine.harness import KEYS, idle, running
from tests.load import Load, Sender
from tests.servers import redis_server

LOAD = Load(users=10, chats_per_user=3, seed=7)


class Loaded(NamedTuple):
    """What the load left: a database to copy, and Redis key by key."""

    database: str
    redis_url: str
    keys: dict[bytes, tuple[int, bytes]]
    """How long each has to live (ms; 0: for ever), and what it holds."""

    def restore(self, client: redis.Redis) -> None:
        """Make Redis what the load left."""
        pipeline = client.pipeline(transaction=False)
        pipeline.flushall()
        for key, (ttl_ms, value) in self.keys.items():
            pipeline.restore(key, ttl_ms, value)
        pipeline.execute()


class System(NamedTuple):
    """Both servers, with all that the load left in them."""

    postgres_url: str
    redis_url: str
    engine: Engine
    client: redis.Redis

    @property
    def env(self) -> dict[str, str]:
        """What makes the command line use them."""
        return {"METERD_REDIS__URL": self.redis_url, "METERD_POSTGRES__URL": self.postgres_url}

    def sql(self, statement: str, **values: Any) -> Any:
        """Change what the tables guard against, too; gives the first value of a result."""
        with self.engine.begin() as connection:
            connection.execute(text("SET session_replication_role = replica"))
            result = connection.execute(text(statement), values)
            return result.scalar() if result.returns_rows else None


@pytest.fixture(scope="session")
def loaded(server_url: str, template: str) -> Iterator[Loaded]:
    with redis_server() as redis_url:
        for url in fresh(server_url, template):
            engine = make_engine(url)
            asyncio.run(_play(redis_url, engine))
            engine.dispose()
            with contextlib.closing(connect(redis_url)) as client:
                found: Any = client.keys("meterd:{0}:*")
                keys: dict[bytes, Any] = {
                    key: (max(0, int(client.pttl(key))), client.dump(key)) for key in found
                }
            yield Loaded(make_url(url).database or "", redis_url, keys)


@pytest.fixture
def system(loaded: Loaded, server_url: str) -> Iterator[System]:
    client = connect(loaded.redis_url)
    loaded.restore(client)
    for url in fresh(server_url, loaded.database):
        engine = make_engine(url)
        yield System(url, loaded.redis_url, engine, client)
        engine.dispose()
    client.close()


@pytest.fixture
def damaged(loaded: Loaded, server_url: str) -> Iterator[System]:
    """The system for who breaks Redis only: the database is everybody's."""
    url = make_url(server_url).set(database=loaded.database).render_as_string(hide_password=False)
    engine = make_engine(url)
    with contextlib.closing(connect(loaded.redis_url)) as client:
        loaded.restore(client)
        yield System(url, loaded.redis_url, engine, client)
    engine.dispose()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.postgres)
            item.add_marker(pytest.mark.redis)


async def _play(url: str, engine: Engine) -> None:
    settings = SupervisorConfig(actors_max=3, batch_max=50)
    with contextlib.closing(connect(url)) as client:
        async with running(url, engine, Policy(), settings):
            await asyncio.to_thread(_send, client)
            await idle(url)


def _send(client: redis.Redis) -> None:
    sender = Sender(client, LOAD._replace(seed=int(os.environ.get("METERD_TEST_SEED", "7"))))
    sender.begin()
    sender.send_for(1.0, per_second=600)
    send_special(client)


def send_special(client: redis.Redis) -> None:
    """What the random load leaves out; the user ``calm`` is then at rest, with two open chats."""
    for number, fields in enumerate(SPECIAL):
        sent: Any = {"id": f"special-{number}", **fields}
        client.xadd(KEYS.commands, sent)
        time.sleep(0.003)  # no two in one millisecond: a chat of no time costs nothing


_CALM = {"user_id": "calm", "advisor_id": "v", "rate": "0"}
_PAID = {"user_id": "calm", "advisor_id": "v", "rate": "1", "increment_ms": "60000"}
SPECIAL: tuple[dict[str, str], ...] = (
    {"type": "top_up", "user_id": "calm", "amount": "50", "reply_to": "me"},
    {"type": "start", "chat_id": "calm.open", **_CALM},
    {"type": "start", "chat_id": "calm.ended", **_PAID},
    {"type": "end", "chat_id": "calm.ended"},
    {"type": "refund", "chat_id": "calm.ended", "amount": "0.25"},
    {"type": "adopt", "chat_id": "calm.old", "started_at": "5", "carried_ms": "7",
     "carried_cost": "3", **_CALM},
    {"type": "pause", "chat_id": "calm.old", "user_id": "other"},
    {"type": "start", "chat_id": "calm.open", "user_id": "other", "advisor_id": "v"},
    {"type": "pause", "chat_id": "nobody.s"},
    {"type": "pause", "chat_id": "nobody.s", "user_id": "other"},
    {"type": "end", "chat_id": "nobody.s", "reason": ""},
    {"type": "top_up", "user_id": "calm", "amount": "50", "id": "special-0"},
    {"type": "top_up", "user_id": "other", "amount": "1", "id": "special-0"},
    {"type": "top_up", "user_id": "broke", "amount": "0.000001"},
    {"type": "start", "chat_id": "broke.s", "user_id": "broke", "advisor_id": "v", "rate": "600"},
    {"type": "settle", "user_id": "calm"},
)  # fmt: skip


def audit(system: System, *args: str, code: int) -> dict[str, Any]:
    """What ``meterd audit --json`` prints, after it ended with the code."""
    command = ["audit", "--json", *args]
    asked = CliRunner().invoke(app, command, env=system.env, catch_exceptions=False)
    assert asked.exit_code == code, asked.output
    found: dict[str, Any] = json.loads(asked.stdout)
    assert found["ok"] == (code == 0)
    return found
