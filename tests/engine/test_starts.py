"""Supervisors of one machine start their processes one at a time."""

import asyncio
import contextlib
from functools import partial
from typing import Any, ClassVar

from sqlalchemy import Engine

from actors.messages import ActorInfo
from actors.supervisor.actor_handle import ActorHandle, Timeouts
from actors.supervisor.recorder_supervisor import RecorderSupervisor
from actors.supervisor.starts import Starts
from actors.supervisor.supervisor import SupervisorConfig
from meterd.rules.model import Policy
from meterd.rules.partitions import Partition
from tests.engine.harness import ThreadProcess, running
from tests.engine.play import until_state
from tests.servers import redis_server

PARTITIONS = [Partition(number, 4) for number in range(4)]
ACTORS = 2


class Starting(ThreadProcess):
    """Counts how many are starting: from when they are made until they have said who they are."""

    now: ClassVar[int] = 0
    most: ClassVar[int] = 0
    all: ClassVar[int] = 0

    async def info(self) -> ActorInfo:
        if self in _KNOWN:
            return await super().info()
        _KNOWN.add(self)
        Starting.now += 1
        Starting.all += 1
        Starting.most = max(Starting.most, Starting.now)
        await asyncio.sleep(0.02)
        Starting.now -= 1
        return await super().info()


_KNOWN: set[Starting] = set()


def test_no_two_starts_overlap_whichever_partition_they_are_of(engine: Engine) -> None:
    """Four partitions with two chat actors each share the turn, and all become ready."""
    settings = SupervisorConfig(actors_max=ACTORS, chats_per_actor=10)

    async def play(url: str) -> None:
        starts = Starts(60)
        async with contextlib.AsyncExitStack() as stack:
            supervisors = [
                await stack.enter_async_context(
                    running(url, engine, Policy(), settings, Starting, partition, starts)
                )
                for partition in PARTITIONS
            ]
            for supervisor in supervisors:
                await until_state(supervisor, "ready")

    with redis_server() as url:
        asyncio.run(play(url))
    assert Starting.all >= len(PARTITIONS)
    assert Starting.most == 1


async def _hangs(*_args: Any) -> Any:
    await asyncio.Event().wait()


def test_a_supervisor_that_ends_lets_others_replace() -> None:
    """Of two processes that are late one is ended; if nobody will start it again, the other may."""

    async def play() -> None:
        starts = Starts(60)
        handle = ActorHandle("chat-1", _hangs, lambda _name: {}, starts=starts)
        recorder = RecorderSupervisor(_hangs, Timeouts(), starts, "p1-recorder")
        recorder.start()
        for name, close in (
            ("chat-1", handle.close),
            ("p1-recorder", partial(recorder.stop, 0.05)),
        ):
            assert starts.may_replace(name)
            assert not starts.may_replace("other")
            await close()
            assert starts.may_replace("other"), name
            starts.replaced("other")

    asyncio.run(play())
