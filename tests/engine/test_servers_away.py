"""Servers that are away or unable: commands wait, nothing is half done, the status says why."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from sqlalchemy import Engine, NullPool, create_engine, text

from actors.supervisor.supervisor import SupervisorConfig
from meterd.rules.model import Policy
from persistence.redis.client import connect
from persistence.redis.functions import library_name, source
from persistence.redis.versions import VERSION
from tests.books import assert_balanced
from tests.engine.harness import KEYS, idle, running
from tests.engine.play import differences, outcomes, send, until, until_state
from tests.load import Load, Sender
from tests.servers import kinds_apart, redis_server

SETTINGS = SupervisorConfig(actors_max=2, batch_max=50)


def _full(client: redis.Redis) -> Callable[[], Any]:
    client.config_set("maxmemory", 1)
    return lambda: client.config_set("maxmemory", 0)


def _read_only(client: redis.Redis) -> Callable[[], Any]:
    """Refuses writes as a server does whose replicas are gone."""
    client.config_set("min-replicas-to-write", 1)
    return lambda: client.config_set("min-replicas-to-write", 0)


def _without_functions(client: redis.Redis) -> Callable[[], Any]:
    client.function_flush()
    return lambda: None


def _with_older_functions(client: redis.Redis) -> Callable[[], Any]:
    client.function_flush()
    client.function_load(source(VERSION - 1))
    return lambda: None


@pytest.mark.parametrize("kind", kinds_apart())
@pytest.mark.parametrize("fault", [_full, _read_only])
def test_a_redis_that_takes_nothing_is_waited_for(
    kind: str, fault: Callable[[redis.Redis], Callable[[], Any]], engine: Engine
) -> None:
    """In the middle of a load; what had come in before is done afterwards, in order, once."""

    async def play(url: str, client: redis.Redis) -> None:
        async with running(url, engine, Policy(), SETTINGS) as supervisor:
            sender = Sender(client, Load(users=8, chats_per_user=3, seed=3))
            await asyncio.to_thread(sender.begin)
            await asyncio.to_thread(sender.send_for, 0.5, 400)
            heal = fault(client)
            why = await until_state(supervisor, "degraded")
            assert why.startswith("Redis: ")
            heal()
            await until_state(supervisor, "ready")
            await asyncio.to_thread(sender.send_for, 0.5, 400)
            await asyncio.to_thread(sender.finish)
            await idle(url)
        assert_balanced(client, engine, sender.log)

    with redis_server(kind) as url, contextlib.closing(connect(url)) as client:
        asyncio.run(play(url, client))


@pytest.mark.parametrize("kind", kinds_apart())
@pytest.mark.parametrize("fault", [_without_functions, _with_older_functions])
def test_functions_that_are_gone_or_old_are_loaded_again(
    kind: str, fault: Callable[[redis.Redis], Callable[[], Any]], engine: Engine
) -> None:
    """By who leads; it begins again, since a restarted server would look the same."""

    async def play(url: str, client: redis.Redis) -> None:
        with contextlib.suppress(Exception):
            async with running(url, engine, Policy(), SETTINGS):
                send(client, type="top_up", user_id="u", amount="1")
                await idle(url)
                fault(client)
                sent = send(client, type="top_up", user_id="u", amount="2")
                await until(lambda: bool(client.function_list(library=library_name())))
        async with running(url, engine, Policy(), SETTINGS):
            await idle(url)
            assert outcomes(client)[sent] == "ok"
        assert differences(client, engine) == []

    with redis_server(kind) as url, contextlib.closing(connect(url)) as client:
        asyncio.run(play(url, client))


@contextlib.contextmanager
def _postgres_takes_nothing(engine: Engine) -> Iterator[None]:
    """Another transaction has locked what each batch goes through."""
    with engine.connect() as connection, connection.begin():
        connection.execute(text("LOCK TABLE recorder_states IN ACCESS EXCLUSIVE MODE"))
        yield


def test_what_waits_for_postgres_is_bounded_with_a_clear_refusal(engine: Engine) -> None:
    """At the limit no chat opens, and the answer says so; what is open goes on; a tenth more, and
    commands wait. Once Postgres is back everything is moved, and the books balance.
    """
    limit, in_flight = 20, 4
    settings = SupervisorConfig(
        actors_max=1, batch_max=1, in_flight_batches_max=in_flight, outbox_entries_max=limit
    )

    async def play(url: str, client: redis.Redis) -> None:
        async with running(url, engine, Policy(), settings) as supervisor:
            people: Any = {"type": "start", "user_id": "u", "advisor_id": "v"}
            send(client, type="top_up", user_id="u", amount="100")
            send(client, **people, chat_id="open")
            await idle(url)
            await until(lambda: not client.xlen(KEYS.outbox))
            with _postgres_takes_nothing(engine):
                for n in range(limit):  # of as many accounts, so that no commit takes two
                    send(client, type="top_up", user_id=f"u{n}", amount="1")
                await until(lambda: "no chat can open" in supervisor.status()["why"])
                refused = send(client, **people, chat_id="late")
                allowed = send(client, type="set_rate", chat_id="open", rate="2")
                await until(lambda: allowed in outcomes(client))
                assert outcomes(client)[refused] == "at_capacity"
                for n in range(limit):
                    send(client, type="top_up", user_id=f"v{n}", amount="1")
                why = await until_state(supervisor, "degraded")
                assert "no command is handled" in why
                waits = send(client, type="end", chat_id="open")
                assert waits not in outcomes(client)
                assert client.xlen(KEYS.outbox) <= limit + limit // 10 + in_flight
            await until_state(supervisor, "ready")
            await idle(url)
            assert outcomes(client)[waits] == "ok"
        assert differences(client, engine) == []

    with redis_server() as url, contextlib.closing(connect(url)) as client:
        asyncio.run(play(url, client))


_END_SESSIONS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
"""Those that there are, as an administrator would; new ones begin read-only."""


def test_a_postgres_that_refuses_to_write_is_waited_for_and_refuses_nothing_for_good(
    engine: Engine,
) -> None:
    """A read-only server says no to the moment, not to the facts: nothing is set aside.

    Sessions that began while it was read-only stay so: they are not used once it takes writes.
    """

    async def play(url: str, client: redis.Redis) -> None:
        name = engine.url.database
        async with running(url, engine, Policy(), SETTINGS) as supervisor:
            await until_state(supervisor, "ready")
            _alter(engine, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
            _alter(engine, _END_SESSIONS)
            sent = send(client, type="top_up", user_id="u", amount="1")
            await until(lambda: sent in outcomes(client))
            await until(lambda: "Postgres" in supervisor.status()["why"])
            assert "in a read-only transaction" in supervisor.status()["why"]
            assert supervisor.status()["state"] == "ready", "metering goes on"
            _alter(engine, f"ALTER DATABASE {name} RESET default_transaction_read_only")
            await until(lambda: not client.xlen(KEYS.outbox))
            assert not client.exists(KEYS.rejected)
        assert differences(client, engine) == []

    with redis_server() as url, contextlib.closing(connect(url)) as client:
        asyncio.run(play(url, client))


def _alter(engine: Engine, sql: str) -> None:
    """In a session of its own: those of the daemon stay as they are."""
    own = create_engine(engine.url, poolclass=NullPool)
    with own.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SET default_transaction_read_only = off"))
        connection.execute(text(sql))
