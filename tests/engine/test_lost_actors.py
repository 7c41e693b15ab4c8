"""Actors that fail before or after their commit, at random: nothing is lost, nothing is twice."""

import asyncio
import contextlib
import os
import random
from collections.abc import Awaitable

import pytest
from sqlalchemy import Engine

from actors.supervisor import actor_handle, batch
from actors.supervisor.supervisor import SupervisorConfig
from meterd.rules.model import Policy
from persistence.redis.client import connect
from tests.audit_check import assert_clean
from tests.books import assert_balanced
from tests.engine.harness import ThreadProcess, idle, running
from tests.load import Load, Sender
from tests.seeds import new_seeds
from tests.servers import kinds, redis_server

pytestmark = pytest.mark.slow

SEEDS = int(os.environ.get("METERD_TEST_SEEDS", "1"))


class FailingProcess(ThreadProcess):
    """Dies now and then: before it handled a batch, or after, its answer being lost."""

    chance = random.Random()

    def handle(self, batch: bytes) -> Awaitable[bytes]:
        fate = self.chance.random()
        return self._fail_before() if fate < 0.05 else self._maybe_after(batch, fate < 0.10)

    async def _fail_before(self) -> bytes:
        raise ConnectionError("died before it began")

    def _maybe_after(self, batch: bytes, dies: bool) -> Awaitable[bytes]:
        handled = super().handle(batch)
        return self._fail_after(handled) if dies else handled

    async def _fail_after(self, handled: Awaitable[bytes]) -> bytes:
        await handled
        raise ConnectionError("died before it answered")


@pytest.mark.parametrize("kind", kinds())
@pytest.mark.parametrize("form", ["shared", "strict"])
@pytest.mark.parametrize("seed", new_seeds("lost_actors", SEEDS))
def test_the_books_balance_whatever_dies_and_when(
    kind: str, form: str, seed: int, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One death in ten batches; records, ledger, wallets and outcomes equal the fold."""
    print(f"seed {seed}")
    monkeypatch.setattr(actor_handle, "REPLACE_PAUSE_S", 0.0)
    # Chance kills the same command three times now and then; it is no poison for that.
    monkeypatch.setattr(batch, "LOSSES_MAX", 1_000_000)
    FailingProcess.chance = random.Random(seed)
    settings = SupervisorConfig(
        actors_max=4 if form == "shared" else 24,
        chats_per_actor=1_000 if form == "shared" else 1,
        batch_max=20,
    )
    with redis_server(kind) as url:
        restarts = asyncio.run(_play(url, engine, settings, seed))
        assert_clean(engine, url)
        assert restarts > 0, "somebody has to die in this test"


async def _play(url: str, engine: Engine, settings: SupervisorConfig, seed: int) -> int:
    with contextlib.closing(connect(url)) as client:
        async with running(url, engine, Policy(), settings, FailingProcess) as supervisor:
            sender = Sender(client, Load(users=8, chats_per_user=3, seed=seed))
            await asyncio.to_thread(_send, sender)
            await idle(url)
            restarts: int = sum(a["restarts"] for a in supervisor.status()["actors"])
        assert_balanced(client, engine, sender.log)
        return restarts


def _send(sender: Sender) -> None:
    sender.begin()
    sender.send_for(1.5, per_second=400)
    sender.finish()
