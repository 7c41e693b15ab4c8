"""Who is to blame for a lost process: what it was handling, but not while Redis is slow."""

import asyncio
from collections.abc import Awaitable

import pytest

from actors.messages import BatchResult, BatchStats, Task, pack_result, unpack_tasks
from actors.supervisor import actor_handle
from actors.supervisor.actor_handle import ActorHandle
from actors.supervisor.batch import LOSSES_MAX, DispatchBatch
from loadtests.common.timeouts import scaled
from meterd.rules.commands import Command, parse_entry
from tests.engine.test_stop import _Process

DEATHS = LOSSES_MAX + 2


class _Dies(_Process):
    """Dies of its batch, as often as it is told; then it answers."""

    def __init__(self, seen: list[str]) -> None:
        super().__init__()
        self._seen = seen

    def handle(self, batch: bytes) -> Awaitable[bytes]:
        _, (task,) = unpack_tasks(batch)
        self._seen.append(task.poison)
        return self._answer(len(self._seen) > DEATHS)

    async def _answer(self, is_well: bool) -> bytes:
        if not is_well:
            raise ConnectionAbortedError("gone")
        return pack_result(BatchResult({}, [], BatchStats()))


@pytest.mark.parametrize("may_blame", [True, False])
def test_a_command_is_blamed_only_while_redis_is_well(
    monkeypatch: pytest.MonkeyPatch, may_blame: bool
) -> None:
    """Then it is marked after so many deaths; else it is tried again, however often."""
    monkeypatch.setattr(actor_handle, "REPLACE_PAUSE_S", 0.0)
    command = parse_entry("1-0", [b"type", b"settle", b"user_id", b"u"])
    assert isinstance(command, Command)
    seen: list[str] = []

    async def spawn(_name: str) -> _Process:
        return _Dies(seen)

    async def play() -> None:
        done = asyncio.Event()
        one = ActorHandle("chat-1", spawn, lambda _name: {}, None, lambda: may_blame)
        one.send(DispatchBatch([Task("", command)], lambda *_: done.set()))
        async with asyncio.timeout(scaled(20)):
            await done.wait()
        await one.close()

    asyncio.run(play())
    assert [bool(poison) for poison in seen] == [
        may_blame and number >= LOSSES_MAX for number in range(DEATHS + 1)
    ]
