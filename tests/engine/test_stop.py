"""Stopping ends everything, in whatever moment it comes."""

import asyncio
import random

import pytest

from actors.supervisor import actor_handle
from actors.supervisor.actor_handle import ActorHandle
from loadtests.common.timeouts import scaled
from tests.engine.harness import ThreadProcess


class _Process(ThreadProcess):
    """Only what an idle slot needs."""

    def __init__(self) -> None:
        self.killed = False

    async def assign(self, chats: object) -> None:
        """Nothing to host."""

    def kill(self) -> None:
        self.killed = True


@pytest.mark.parametrize("works", [True, False])
def test_a_slot_closes_whenever_it_is_told(monkeypatch: pytest.MonkeyPatch, works: bool) -> None:
    """Also in the moment at which it gets work, or would look after its process."""
    monkeypatch.setattr(actor_handle, "CHECK_S", 0.001)

    async def spawn(_name: str) -> _Process:
        return _Process()

    async def play() -> None:
        for _ in range(300):
            idle = ActorHandle("chat-1", spawn, lambda _name: {})
            await idle.wait_up()
            await asyncio.sleep(random.random() * 0.004)
            if works:
                idle.assign("c", "u")
            async with asyncio.timeout(scaled(5)):
                await idle.close()

    asyncio.run(play())
