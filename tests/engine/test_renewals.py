"""A renewal of the lease that meets a change of it by this daemon is not taken for a loss."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Engine

from actors.supervisor.leadership import Leadership
from meterd.rules.redis_keys import Keys
from persistence.errors import NotLeadingError
from persistence.redis.client import connect, connect_async
from persistence.redis.command_stream import CommandStream
from persistence.redis.functions import function_name, load_functions
from persistence.redis.integrity import IntegrityCheck
from tests.servers import redis_server

LEASE_MS = 60_000
"""Nothing here ends because a lease runs out."""


class Meeting:
    """A client whose next call of ``name`` meets ``other``, which reaches Redis just before it, or
    after it and before its answer."""

    def __init__(self, client: Any) -> None:
        self._client, self._fcall = client, client.fcall
        self.name, self.other, self.is_before = "", _nothing, False
        client.fcall = self._meet

    async def _meet(self, name: str, *args: Any) -> Any:
        if not self.name or name != function_name(self.name):  # type: ignore[arg-type]
            return await self._fcall(name, *args)
        self.name = ""
        if self.is_before:
            await self.other()
        answer = await self._fcall(name, *args)
        if not self.is_before:
            await self.other()
        return answer


async def _nothing() -> None:
    pass


@pytest.fixture
def queue_url() -> Iterator[str]:
    with redis_server() as url:
        with contextlib.closing(connect(url)) as client:
            load_functions(client)
        yield url


def _play(url: str, engine: Engine, scene: Callable[..., Any]) -> None:
    async def play() -> None:
        client = connect_async(url)
        try:
            meeting = Meeting(client)
            queue = CommandStream(client, Keys(), "one")
            await queue.create_group()
            leader = Leadership(queue, IntegrityCheck(client, Keys(), engine), LEASE_MS)
            await scene(meeting, queue, leader)
        finally:
            await client.aclose()

    asyncio.run(play())


@pytest.mark.parametrize("name", ["acquire_lease", "resign"])
def test_one_that_comes_after_it_in_redis_and_before_its_answer(
    name: str, queue_url: str, engine: Engine
) -> None:
    """The lease is taken again under a new epoch, or given up because state is lost."""

    async def scene(meeting: Meeting, queue: CommandStream, leader: Leadership) -> None:
        await queue.acquire_lease(LEASE_MS)
        meeting.name, meeting.other = name, leader.renew
        await (queue.resign() if name == "resign" else queue.acquire_lease(LEASE_MS))
        assert not meeting.name, "they have met"
        await leader.renew()

    _play(queue_url, engine, scene)


@pytest.mark.parametrize("name", ["acquire_lease", "resign"])
def test_one_that_was_sent_before_it_and_comes_after_it(
    name: str, queue_url: str, engine: Engine
) -> None:
    """On another connection, which is slower."""

    async def scene(meeting: Meeting, queue: CommandStream, leader: Leadership) -> None:
        await queue.acquire_lease(LEASE_MS)

        async def change() -> None:
            await (queue.resign() if name == "resign" else queue.acquire_lease(LEASE_MS))

        meeting.name, meeting.other, meeting.is_before = "renew_lease", change, True
        await leader.renew()
        assert not meeting.name, "they have met"

    _play(queue_url, engine, scene)


def test_the_loss_to_another_daemon_is_one(queue_url: str, engine: Engine) -> None:
    """Another one has taken the lead: this one has to begin again."""

    async def scene(_meeting: Meeting, queue: CommandStream, leader: Leadership) -> None:
        await queue.acquire_lease(LEASE_MS)
        await leader.renew()
        with contextlib.closing(connect(queue_url)) as client:
            client.delete(Keys().leader)
            client.fcall(function_name("acquire_lease"), 1, Keys().commands, "other", LEASE_MS)
        with pytest.raises(NotLeadingError, match="another daemon has taken over"):
            await leader.renew()

    _play(queue_url, engine, scene)
