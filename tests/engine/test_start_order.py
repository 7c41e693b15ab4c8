"""Which processes start first when a supervisor leads: those that commands wait for."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
from sqlalchemy import Engine

from actors.supervisor.starts import Starts
from actors.supervisor.supervisor import SupervisorConfig
from meterd.rules.model import Policy
from tests.engine.harness import running
from tests.engine.play import until, until_state
from tests.servers import redis_server

T = TypeVar("T")

SETTINGS = SupervisorConfig(actors_max=2, warm_pool_size=2, stop_timeout_ms=1_000)


class RequestedStarts(Starts):
    """Notes whose start is asked for, before its turn comes; starts wait until they may."""

    def __init__(self) -> None:
        super().__init__(start_s=60)
        self.names: list[str] = []
        self.may_start = asyncio.Event()

    async def run(self, name: str, start: Callable[[], Awaitable[T]]) -> T:
        self.names.append(name)
        await self.may_start.wait()
        return await super().run(name, start)


def test_warm_actors_and_the_recorder_wait_for_the_needed_actor(engine: Engine) -> None:
    """Starts come one by one, of all partitions: each of these would be before another actor."""

    async def play(url: str) -> None:
        starts = RequestedStarts()
        async with running(url, engine, Policy(), SETTINGS, starts=starts) as supervisor:
            await until(lambda: bool(starts.names))
            await asyncio.sleep(0.2)  # nothing else comes, however long one waits
            assert starts.names == ["chat-1"]
            starts.may_start.set()
            await until_state(supervisor, "ready")
            await until(lambda: set(starts.names) == {"chat-1", "chat-2", "recorder"})

    with redis_server() as url:
        asyncio.run(play(url))


def test_they_do_not_wait_for_ever(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """An actor that can't start keeps nothing from reaching PostgreSQL."""
    monkeypatch.setattr("actors.supervisor.supervisor.OTHER_STARTS_AFTER_S", 0.1)

    async def play(url: str) -> None:
        starts = RequestedStarts()
        async with running(url, engine, Policy(), SETTINGS, starts=starts) as supervisor:
            await until(lambda: "recorder" in starts.names)
            assert not supervisor.is_ready
            starts.may_start.set()
            await until_state(supervisor, "ready")

    with redis_server() as url:
        asyncio.run(play(url))
