"""Others change the commands stream: nothing stands still, nothing is lost in silence."""

import asyncio
import contextlib
import json
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import redis
from sqlalchemy import Engine, text

from actors.supervisor.supervisor import Supervisor, SupervisorConfig
from meterd.rules.model import Policy
from meterd.rules.redis_keys import GROUP
from persistence.redis.client import connect
from persistence.redis.clock_hold import clear_hold, drop_ahead, read_hold
from persistence.redis.functions import load_functions
from tests.engine.harness import KEYS, idle, running
from tests.engine.play import differences, outcomes, send, until, until_state
from tests.servers import kinds, kinds_apart, redis_server

SETTINGS = SupervisorConfig(actors_max=1, stop_timeout_ms=1_000)
POLICY = Policy(warn_ms=())
HOUR_MS = 3_600_000

Play = Callable[[str, redis.Redis], Coroutine[Any, Any, None]]


def _play(kind: str, play: Play) -> None:
    with redis_server(kind) as url, contextlib.closing(connect(url)) as client:
        asyncio.run(play(url, client))


def _top_up(client: redis.Redis, user: str = "u", amount: str = "1") -> str:
    return send(client, type="top_up", user_id=user, amount=amount)


def _balance(client: redis.Redis, user: str) -> str:
    raw: Any = client.get(KEYS.wallet(user))
    return str(json.loads(raw)["balance"])


def _progress(client: redis.Redis, field: str) -> int:
    found: Any = client.hget(f"{KEYS.prefix}progress", field)
    return int(found or 0)


def _destroy_group(client: redis.Redis) -> None:
    client.xgroup_destroy(KEYS.commands, GROUP)


def _delete_stream(client: redis.Redis) -> None:
    client.delete(KEYS.commands)


@pytest.mark.parametrize("kind", kinds_apart())
@pytest.mark.parametrize("fault", [_destroy_group, _delete_stream])
def test_a_group_that_is_gone_is_made_again_without_a_second_effect(
    kind: str, fault: Callable[[redis.Redis], None], engine: Engine
) -> None:
    """Commands of every kind that had their effect are read again, and change nothing."""

    async def play(url: str, client: redis.Redis) -> None:
        async with running(url, engine, POLICY, SETTINGS) as supervisor:
            _top_up(client, amount="10")
            _top_up(client, "w")
            send(client, type="start", chat_id="a", user_id="u", advisor_id="v", rate="0")
            send(client, type="pause", chat_id="a")
            await idle(url)
            before = outcomes(client)
            fault(client)
            sent = _top_up(client)
            await until(lambda: sent in outcomes(client))
            await idle(url)
            assert _progress(client, "recreated") == 1
            assert _balance(client, "u") == "11.000000"
            assert _balance(client, "w") == "1.000000"
            assert outcomes(client) == {**before, sent: "ok"}, "nothing is answered again"
            await until_state(supervisor, "ready")
        assert differences(client, engine) == []

    _play(kind, play)


@pytest.mark.parametrize("kind", kinds_apart())
def test_what_a_stranger_has_read_while_nobody_ran_is_handled_in_its_order(
    kind: str, engine: Engine
) -> None:
    """Between entries that the daemon itself reads: of one account, the later ones depend on it."""

    async def play(url: str, client: redis.Redis) -> None:
        async with running(url, engine, POLICY, SETTINGS) as supervisor:
            await until_state(supervisor, "ready")
        sent = [_top_up(client), _top_up(client, amount="2")]
        client.xreadgroup(GROUP, "redisinsight", {KEYS.commands: ">"}, count=10)
        sent.append(send(client, type="adjust", user_id="u", amount="-3"))
        async with running(url, engine, POLICY, SETTINGS):
            await idle(url)
            assert [outcomes(client)[entry] for entry in sent] == ["ok", "ok", "ok"]
            assert _progress(client, "claimed") == 2
        assert differences(client, engine) == []

    _play(kind, play)


@pytest.mark.parametrize("kind", kinds()[:1])
def test_what_a_stranger_reads_while_the_daemon_runs_is_handled_in_its_order(
    kind: str, engine: Engine
) -> None:
    """Both read from the same group; each of the stranger's entries still comes before its next."""

    async def play(url: str, client: redis.Redis) -> None:
        async with running(url, engine, POLICY, SETTINGS) as supervisor:
            await until_state(supervisor, "ready")
            sent = []
            for round_ in range(30):
                sent.append(_top_up(client, amount="1"))
                client.xreadgroup(GROUP, f"tool-{round_ % 2}", {KEYS.commands: ">"}, count=1)
                sent.append(send(client, type="adjust", user_id="u", amount="-1"))
                await asyncio.sleep(0)
            await until(lambda: len(outcomes(client)) == len(sent))
            assert {outcomes(client)[entry] for entry in sent} == {"ok"}
            await idle(url)
        assert differences(client, engine) == []

    _play(kind, play)


@pytest.mark.parametrize("kind", kinds()[:1])
def test_what_comes_after_its_turn_is_refused_with_a_dead_letter_and_may_be_sent_again(
    kind: str, engine: Engine
) -> None:
    """A stranger hid it with XCLAIM from the leader's eyes until the account was past it."""

    async def play(url: str, client: redis.Redis) -> None:
        async with running(url, engine, POLICY, SETTINGS):
            _top_up(client)
            await idle(url)
        hidden = _top_up(client, amount="5")
        client.xreadgroup(GROUP, "tool", {KEYS.commands: ">"})
        client.xack(KEYS.commands, GROUP, hidden)  # nobody sees it any more
        async with running(url, engine, POLICY, SETTINGS) as supervisor:
            later = send(client, type="top_up", user_id="u", amount="1")
            await until(lambda: later in outcomes(client))
            client.xclaim(KEYS.commands, GROUP, "tool", 0, [hidden], force=True)
            await until(lambda: hidden in outcomes(client))
            assert outcomes(client)[hidden] == "internal_error"
            letters: Any = client.xrange(KEYS.dead)
            assert [b"another consumer" in fields[b"reason"] for _, fields in letters] == [True]
            assert _balance(client, "u") == "2.000000"
            last = send(client, type="start", chat_id="c", user_id="u", advisor_id="v", rate="1")
            await until(lambda: outcomes(client).get(last) == "ok")
            await until_state(supervisor, "ready")
            await idle(url)
        assert differences(client, engine) == []

    _play(kind, play)


@pytest.mark.parametrize("kind", kinds_apart())
@pytest.mark.parametrize("how", ["maxlen", "xdel", "noack"])
def test_commands_that_are_taken_away_unread_are_counted(
    kind: str, how: str, engine: Engine
) -> None:
    """By a producer's MAXLEN or XDEL, or by a consumer that acknowledges what it reads.

    What is in the stream still, and was never handled, the audit names.
    """
    is_there_still = how == "noack"

    async def play(url: str, client: redis.Redis) -> None:
        async with running(url, engine, POLICY, SETTINGS):
            _top_up(client)
            await idle(url)
            await until(lambda: client.hget(f"{KEYS.prefix}progress", "added") == b"1")
        sent = [_top_up(client) for _ in range(20)]
        if how == "maxlen":
            client.xtrim(KEYS.commands, maxlen=5, approximate=False)
        elif how == "xdel":
            client.xdel(KEYS.commands, *sent[3:18])
        else:
            client.xreadgroup(GROUP, "tool", {KEYS.commands: ">"}, count=15, noack=True)
        async with running(url, engine, POLICY, SETTINGS) as supervisor:
            await until(lambda: _progress(client, "missing") == 15)
            await idle(url)
            assert _balance(client, "u") == "6.000000"
            await until(lambda: supervisor.status()["queue"]["missing"] == 15)
            assert supervisor.status()["queue"]["lag"] == 0
            _top_up(client)
            await idle(url)
        assert _progress(client, "missing") == 15, "counted once"
        told = [(one.kind, one.entry) for one in reversed(differences(client, engine))]
        assert told == ([("unhandled", entry) for entry in sent[:15]] if is_there_still else [])

    _play(kind, play)


def _ahead(client: redis.Redis, by_ms: int = HOUR_MS, **fields: str) -> str:
    entry = f"{_now_ms(client) + by_ms}-0"
    filled: Any = {"type": "heartbeat", "id": f"far{by_ms}", "chat_id": "a", **fields}
    client.xadd(KEYS.commands, filled, id=entry)
    return entry


def _now_ms(client: redis.Redis) -> int:
    seconds, micros = client.time()
    return int(seconds) * 1000 + int(micros) // 1000


def _chat(client: redis.Redis, chat_id: str) -> dict[str, Any]:
    raw: Any = client.get(KEYS.chat(chat_id))
    found: dict[str, Any] = json.loads(raw)
    return found


async def _begin(url: str, client: redis.Redis) -> None:
    _top_up(client, amount="100")
    send(client, type="start", chat_id="a", user_id="u", advisor_id="v", rate="1")
    await idle(url)


async def _held(supervisor: Supervisor, entry: str) -> None:
    why = await until_state(supervisor, "held")
    assert entry in why
    assert "meterd clock" in why


@pytest.mark.parametrize("kind", kinds_apart())
@pytest.mark.parametrize("restart", [False, True])
def test_an_entry_from_the_future_holds_and_can_be_dropped(
    kind: str, restart: bool, engine: Engine
) -> None:
    """What came behind it counts as of now, in its order; no chat is billed an hour more."""

    async def play(url: str, client: redis.Redis) -> None:
        async with running(url, engine, POLICY, SETTINGS) as supervisor:
            await _begin(url, client)
            far = _ahead(client)
            behind = [_top_up(client, "w"), send(client, type="end", chat_id="a")]
            await _held(supervisor, far)
            assert not set(behind) & outcomes(client).keys(), "nothing is decided"
            if not restart:
                await _drop(url, client, supervisor, far)
        if restart:
            async with running(url, engine, POLICY, SETTINGS) as supervisor:
                await _held(supervisor, far)
                await _drop(url, client, supervisor, far)
        assert differences(client, engine) == []

    _play(kind, play)
    with engine.connect() as connection:
        acts = connection.execute(text("SELECT operation, details FROM operations")).all()
    assert [act.operation for act in acts] == ["clock.drop"]
    assert acts[0].details["fields"]["type"] == "heartbeat"


async def _drop(url: str, client: redis.Redis, supervisor: Supervisor, far: str) -> None:
    hold = read_hold(client, KEYS)
    assert hold is not None
    assert hold["entry"] == far
    assert drop_ahead(client, KEYS, hold, SETTINGS.step_ms_max, "ann", 1) == 2
    await until(lambda: _chat(client, "a")["status"] == "ended")
    await until_state(supervisor, "ready")
    chat = _chat(client, "a")
    assert chat["end_reason"] == "ended"
    assert chat["active_ms"] < HOUR_MS / 10, "no hour is billed"
    assert _balance(client, "w") == "1.000000"
    sent = _top_up(client, "w")
    assert int(sent.partition("-")[0]) < _now_ms(client) + 1_000, "the stream is set back"
    await idle(url)


@pytest.mark.parametrize("kind", kinds_apart())
def test_an_entry_from_the_future_can_be_accepted(kind: str, engine: Engine) -> None:
    """Then it counts by its ID, and so does what comes behind it, without another question."""

    async def play(url: str, client: redis.Redis) -> None:
        async with running(url, engine, POLICY, SETTINGS) as supervisor:
            await _begin(url, client)
            far = _ahead(client)
            await _held(supervisor, far)
            hold = read_hold(client, KEYS)
            assert hold is not None
            assert clear_hold(client, KEYS, hold, "ann", 1)
            send(client, type="end", chat_id="a")
            await until(lambda: _chat(client, "a")["status"] == "ended")
            await until_state(supervisor, "ready")
            await idle(url)
            assert _chat(client, "a")["ended_at"] >= int(far.partition("-")[0])
        assert differences(client, engine) == []

    _play(kind, play)


def test_an_id_a_little_ahead_of_the_clock_holds_nothing(engine: Engine) -> None:
    """Within the limit, as after a small correction of the server's clock."""

    async def play(url: str, client: redis.Redis) -> None:
        async with running(url, engine, POLICY, SETTINGS):
            await _begin(url, client)
            _ahead(client, by_ms=SETTINGS.step_ms_max - 1_000)
            sent = _top_up(client)
            await until(lambda: sent in outcomes(client))
            await idle(url)
        assert differences(client, engine) == []

    _play(kinds()[0], play)


@pytest.mark.parametrize("kind", kinds_apart())
def test_a_hold_is_cleared_and_recorded_though_the_stream_is_gone(kind: str) -> None:
    """Nothing is written before all that it needs was read: no decision without its record."""
    with redis_server(kind) as url, contextlib.closing(connect(url)) as client:
        load_functions(client)
        client.set(KEYS.clock_hold, '{"step_ms": 9000, "queue_ms": 1}')
        hold = read_hold(client, KEYS)
        assert hold is not None
        assert clear_hold(client, KEYS, hold, "ann", 1)
        assert client.xlen(KEYS.outbox) == 1
