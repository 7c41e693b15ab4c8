"""The status names what is being replaced, since when, and which attempt it is."""

import asyncio
from typing import ClassVar

import pytest
from sqlalchemy import Engine

from actors.messages import ActorInfo
from actors.supervisor import actor_handle, replacement
from actors.supervisor.replacement import Replacement
from actors.supervisor.supervisor import SupervisorConfig
from meterd.rules.model import Policy
from tests.engine.harness import ThreadProcess, running
from tests.engine.play import until, until_state
from tests.servers import redis_server


class Unlucky(ThreadProcess):
    """The first one dies, and nobody takes its place until told."""

    may_start: ClassVar[bool] = True

    async def info(self) -> ActorInfo:
        if not self.may_start:
            raise ConnectionError("no node for it")
        return await super().info()

    async def check(self) -> None:
        if not self.may_start:
            raise ProcessLookupError("it has died")


def test_a_replacement_that_takes_long_is_told_with_its_cause_and_ends(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``degraded``, because commands wait; ``ready`` without a word once it has come up."""
    monkeypatch.setattr(actor_handle, "REPLACE_PAUSE_S", 0.05)
    monkeypatch.setattr(replacement, "LONG_S", 0.3)
    settings = SupervisorConfig(actors_max=1, call_timeout_ms=300)

    async def play(url: str) -> None:
        async with running(url, engine, Policy(), settings, Unlucky) as supervisor:
            await until_state(supervisor, "ready")
            assert supervisor.status()["actors"][0]["replacing"] is None
            Unlucky.may_start = False
            await until(lambda: supervisor.status()["state"] == "degraded")
            status = supervisor.status()
            replacing = status["actors"][0]["replacing"]
            assert replacing["attempt"] >= 2
            assert status["now"] - replacing["since"] >= 300
            assert replacing["why"] == "ConnectionError: no node for it"
            assert "chat-1 is being replaced, attempt " in status["why"]
            Unlucky.may_start = True
            await until_state(supervisor, "ready")
            assert supervisor.status()["why"] == ""

    try:
        with redis_server() as url:
            asyncio.run(play(url))
    finally:
        Unlucky.may_start = True


def test_attempts_are_counted_from_the_first_loss_and_forgotten_when_it_works() -> None:
    """The moment stays that of the first loss, the cause is the last one's."""
    now_s = 50.0
    found = Replacement(lambda: now_s)
    assert found.as_dict(9_000) is None
    found.lost("it died")
    now_s += 2
    found.lost("no answer")
    assert found.as_dict(9_000) == {"since": 7_000, "attempt": 2, "why": "no answer"}
    assert found.describe("recorder") == (
        "recorder is being replaced, attempt 2, for 2 s: no answer"
    )
    assert not found.is_long
    now_s += replacement.LONG_S
    assert found.is_long
    found.done()
    assert (found.as_dict(9_000), found.describe("recorder"), found.is_long) == (None, "", False)
