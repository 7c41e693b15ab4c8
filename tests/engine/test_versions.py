"""A daemon and the libraries of newer versions beside its own."""

import asyncio
import contextlib

import pytest
from sqlalchemy import Engine

from actors.supervisor.supervisor import SupervisorConfig
from meterd.rules.model import Policy
from persistence.redis.client import connect
from persistence.redis.functions import library_name, source
from persistence.redis.versions import VERSION
from tests.engine import harness
from tests.engine.harness import KEYS, idle, running
from tests.engine.play import differences, outcomes, send, until, until_state
from tests.servers import redis_server

SETTINGS = SupervisorConfig(actors_max=1)


def test_it_goes_on_beside_the_next_version_and_ends_when_it_is_two_behind(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it has is finished; what comes later waits for a newer one."""

    async def play(url: str) -> None:
        async with running(url, engine, Policy(), SETTINGS) as supervisor:
            await until_state(supervisor, "ready")
            client.function_load(source(VERSION + 1))
            client.function_delete(library_name())
            await until(lambda: bool(client.function_list(library=library_name())))
        async with running(url, engine, Policy(), SETTINGS) as supervisor:
            await until_state(supervisor, "ready")
            sent = send(client, type="top_up", user_id="u", amount="1")
            await idle(url)
            assert outcomes(client)[sent] == "ok"
            assert not supervisor.is_over
            client.function_load(source(VERSION + 2))
            await until(lambda: supervisor.is_over)
        client.delete(KEYS.leader)
        last = client.get(KEYS.epoch)
        # Its engine starts another supervisor, which loads nothing.
        monkeypatch.setattr(harness, "_load_library", lambda _url: None)
        async with running(url, engine, Policy(), SETTINGS) as supervisor:
            await until(lambda: supervisor.is_over)
        assert client.get(KEYS.epoch) == last, "nor does it take the lease from a newer one"

    with redis_server() as url, contextlib.closing(connect(url)) as client:
        asyncio.run(play(url))
        assert differences(client, engine) == []
