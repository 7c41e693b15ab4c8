"""Bad input gets the right answer and a place in ``dead``; the daemon goes on unharmed."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from loadtests.common.live import KEYS, LiveDaemon, live_daemon
from meterd import Meter

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.acceptance, pytest.mark.timeout(240)]

START = ["type", "start", "id", "s", "chat_id", "x", "user_id", "u", "advisor_id", "v"]

BAD: dict[str, list[str | bytes]] = {
    "no fields but one": ["colour", "red"],
    "unknown type": ["type", "begin", "id", "b", "chat_id", "x"],
    "no id": ["type", "pause", "chat_id", "x"],
    "empty id": ["type", "pause", "id", "", "chat_id", "x"],
    "missing field": ["type", "start", "id", "b", "chat_id", "x"],
    "other field": [*START, "colour", "red"],
    "field twice": [*START, "advisor_id", "v"],
    "identifier with a blank": ["type", "pause", "id", "b", "chat_id", "x y"],
    "identifier too long": ["type", "pause", "id", "b", "chat_id", "x" * 129],
    "identifier with a newline": ["type", "pause", "id", "b", "chat_id", "x\n"],
    "reason too long": ["type", "end", "id", "b", "chat_id", "x", "reason", "r" * 65],
    "amount zero": ["type", "top_up", "id", "b", "user_id", "u", "amount", "0"],
    "amount negative": ["type", "top_up", "id", "b", "user_id", "u", "amount", "-5"],
    "amount in exponents": ["type", "top_up", "id", "b", "user_id", "u", "amount", "1e3"],
    "amount too fine": ["type", "top_up", "id", "b", "user_id", "u", "amount", "0.0000001"],
    "amount too long": ["type", "top_up", "id", "b", "user_id", "u", "amount", "1234567890"],
    "increment zero": [*START, "increment_ms", "0"],
    "duration too long": [*START, "free_ms", "1" * 13],
    "adopted from the future": [
        "type", "adopt", "id", "b", "chat_id", "x", "user_id", "u", "advisor_id", "v",
        "started_at", "999999999999999", "carried_ms", "0", "carried_cost", "0",
    ],
    "bad UTF-8": ["type", "pause", "id", "b", "chat_id", b"\xff\xfe"],
    "a NUL": ["type", "pause", "id", "b", "chat_id", "x\x00"],
    "over 16 KiB": ["type", "pause", "id", "b", "chat_id", "x" * 17_000],
}  # fmt: skip


@pytest.fixture(scope="module")
def daemon() -> Iterator[LiveDaemon]:
    with live_daemon() as running:
        yield running


@pytest.mark.parametrize("what", BAD)
def test_it_is_answered_set_aside_and_harmless(daemon: LiveDaemon, what: str) -> None:
    """``invalid_command`` with a reason, the entry in ``dead``, and the next command handled."""
    with daemon.client() as client, Meter(daemon.redis_url) as meter:
        user = f"after-{list(BAD).index(what)}"
        entry: Any = client.execute_command(
            "XADD", KEYS.commands, "*", *BAD[what], "reply_to", f"bad-{user}"
        )
        after = meter.top_up(user, "1")
        reply = _reply(client, f"bad-{user}")
        assert reply["outcome"] == "invalid_command"
        assert reply["entry"] == entry.decode()
        assert len(reply["message"]) > len("bad")
        dead = {e[b"entry"]: e for _, e in _range(client, KEYS.dead)}
        assert dead[entry][b"reason"].decode() == reply["message"]
        assert json.loads(dead[entry][b"fields"])
        assert after.outcome == "ok"
        assert str(meter.wallet(user).balance) == "1.000000"


def _reply(client: redis.Redis, name: str) -> dict[str, str]:
    found: Any = client.xread({KEYS.reply(name): "0"}, block=4_000)
    fields: dict[bytes, bytes] = found[0][1][0][1]
    return {k.decode(): v.decode() for k, v in fields.items()}


def _range(client: redis.Redis, stream: str) -> list[tuple[bytes, dict[bytes, bytes]]]:
    found: Any = client.xrange(stream)
    return list(found)


def test_a_chat_that_never_started_is_an_answer(daemon: LiveDaemon) -> None:
    """``not_started``, zeros and no times: from the client and from ``meterd chat``."""
    with Meter(daemon.redis_url) as meter:
        snapshot = meter.snapshot("nobody-knows-it")
    assert (snapshot.status, snapshot.active_ms, snapshot.started_at) == ("not_started", 0, None)
    told = daemon.run("chat", "nobody-knows-it", "--json")
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout)["snapshot"]["status"] == "not_started"
    assert "No active time" not in told.stdout + told.stderr
