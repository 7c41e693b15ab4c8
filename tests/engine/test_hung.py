"""What hangs is replaced; when it wakes up it can write nothing."""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable
from typing import ClassVar

import pytest
import redis
from sqlalchemy import Engine

from actors.errors import ActorFencedError
from actors.messages import Task, unpack_tasks
from actors.supervisor.supervisor import SupervisorConfig
from meterd.rules.commands import Command, entry_ms, parse_entry
from meterd.rules.model import Policy
from persistence.redis.client import connect
from tests.engine.harness import ThreadProcess, idle, running
from tests.engine.play import differences, outcomes, send, until, until_state
from tests.servers import redis_server

SETTINGS = SupervisorConfig(actors_max=1, call_timeout_ms=300)


class Sleeper(ThreadProcess):
    """The first one falls asleep with a batch in its hands, and wakes up when told."""

    wake = threading.Event()
    slept: ClassVar[list[bytes]] = []
    woke: ClassVar[list["Sleeper"]] = []

    def handle(self, batch: bytes) -> Awaitable[bytes]:
        if self.slept:
            return super().handle(batch)
        self.slept.append(batch)
        return asyncio.get_running_loop().run_in_executor(None, self._sleep, batch)

    def _sleep(self, batch: bytes) -> bytes:
        self.wake.wait(20)
        # What it had in hand has had its effect by now, and it is told that it is over.
        with contextlib.suppress(ActorFencedError):
            self.worker.handle(*unpack_tasks(batch))
            return b""
        self.woke.append(self)
        return b""

    def kill(self) -> None:
        """As if the process could not be reached: it goes on when it wakes up."""
        self.killed = True


def test_an_actor_that_hangs_is_replaced_and_fenced(engine: Engine) -> None:
    """Its batch goes to the next one; after waking up it is told that it is over."""

    async def play(url: str, client: redis.Redis) -> None:
        async with running(url, engine, Policy(), SETTINGS, Sleeper) as supervisor:
            sent = send(client, type="top_up", user_id="u", amount="1")
            await until(lambda: sent in outcomes(client))
            assert supervisor.status()["actors"][0]["restarts"] == 1
            Sleeper.wake.set()
            await until(lambda: bool(Sleeper.woke))
            with pytest.raises(ActorFencedError):
                Sleeper.woke[0].worker.handle(1, [_later(sent)])
            await idle(url)
        assert differences(client, engine) == []

    with redis_server() as url, contextlib.closing(connect(url)) as client:
        asyncio.run(play(url, client))


def _later(entry: str) -> Task:
    """A command of the same account that comes after an entry."""
    flat = [b"type", b"top_up", b"id", b"x", b"user_id", b"u", b"amount", b"1"]
    command = parse_entry(f"{entry_ms(entry) + 1}-0", flat)
    assert isinstance(command, Command)
    return Task("u", command)


class Deaf(ThreadProcess):
    """The first one stops answering while it has nothing to do."""

    made: ClassVar[list["Deaf"]] = []

    async def assign(self, chats: object) -> None:
        self.made.append(self)

    async def info(self):  # type: ignore[no-untyped-def]
        if self.made and self.made[0] is self:
            await asyncio.sleep(20)
        return await super().info()


def test_an_idle_actor_that_does_not_answer_is_replaced(engine: Engine) -> None:
    """Nobody sends anything; without it the timers of its chats would be late."""

    async def play(url: str) -> None:
        async with running(url, engine, Policy(), SETTINGS, Deaf) as supervisor:
            await until_state(supervisor, "ready")
            await until(lambda: supervisor.status()["actors"][0]["restarts"] == 1)

    with redis_server() as url:
        asyncio.run(play(url))
