"""The queue's clock steps: everything is held until somebody has decided, and then goes on."""

import asyncio
import contextlib
import json
from typing import Any

import pytest
import redis
from sqlalchemy import Engine, text

from actors.supervisor.clock_monitor import ClockMonitor
from actors.supervisor.supervisor import SupervisorConfig
from meterd.rules.model import Policy
from persistence.redis.client import connect
from persistence.redis.clock_hold import clear_hold, read_hold
from tests.engine.harness import KEYS, idle, running
from tests.engine.play import differences, outcomes, send, until, until_state
from tests.servers import redis_server

# Who is stopped while everything is held waits in vain for half of that, and then goes.
SETTINGS = SupervisorConfig(actors_max=1, stop_timeout_ms=1_000)


@pytest.mark.parametrize("step_ms", [3_600_000, -3_600_000])
def test_a_step_holds_commands_and_due_changes_until_an_operator_decides(
    step_ms: int, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what fell due meanwhile then comes about at its millisecond."""
    see, offset = ClockMonitor.observe, [0]

    def stepped(watch: ClockMonitor, queue_ms: int, before_ms: int) -> None:
        see(watch, queue_ms + offset[0], before_ms)

    monkeypatch.setattr(ClockMonitor, "observe", stepped)

    async def play(url: str, client: redis.Redis) -> None:
        async with running(url, engine, Policy(warn_ms=()), SETTINGS) as supervisor:
            send(client, type="top_up", user_id="u", amount="0.2")
            send(client, type="start", chat_id="a", user_id="u", advisor_id="v", rate="6")
            await idle(url)
            due = _zero_at(client, "u")
            offset[0] = step_ms
            why = await until_state(supervisor, "held")
            assert ("stepped by +3" if step_ms > 0 else "stepped by -3") in why
            assert "meterd clock accept" in why
            waits = send(client, type="top_up", user_id="w", amount="1")
            await until(lambda: _now_ms(client) > due + 500)
            assert waits not in outcomes(client), "no command is handled"
            assert b'"running"' in (client.get(KEYS.chat("a")) or b""), "nothing falls due"
        async with running(url, engine, Policy(warn_ms=()), SETTINGS) as supervisor:
            await until_state(supervisor, "held")
            hold = read_hold(client, KEYS)
            assert hold is not None, "a new supervisor holds, too"
            assert clear_hold(client, KEYS, hold, "ann", 1)
            assert not clear_hold(client, KEYS, hold, "bob", 1), "decided once"
            await until_state(supervisor, "ready")
            await until(lambda: b'"ended"' in (client.get(KEYS.chat("a")) or b""))
            await idle(url)
            assert outcomes(client)[waits] == "ok"
            ended: Any = client.get(KEYS.chat("a"))
            assert f'"ended_at":{due}'.encode() in ended, "at its millisecond, however late"
        assert differences(client, engine) == []

    with redis_server() as url, contextlib.closing(connect(url)) as client:
        asyncio.run(play(url, client))
    with engine.connect() as connection:
        acts = connection.execute(text("SELECT operation, done_by FROM operations")).all()
    assert [tuple(act) for act in acts] == [("clock.accept", "ann")]


def _zero_at(client: redis.Redis, user: str) -> int:
    raw: Any = client.get(KEYS.wallet(user))
    return int(json.loads(raw)["zero_at"])


def _now_ms(client: redis.Redis) -> int:
    seconds, micros = client.time()
    return int(seconds) * 1000 + int(micros) // 1000
