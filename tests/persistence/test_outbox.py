"""The outbox: what Postgres has leaves it, and ended chats then leave Redis in time."""

from typing import Any

import pytest
import redis

from meterd.rules.redis_keys import GROUP, Keys
from persistence.errors import RecorderFencedError
from persistence.postgres.rows import RecordRow
from persistence.redis.commit import OutboxPayload, pack_payload
from persistence.redis.functions import function_name
from persistence.redis.outbox import Outbox

KEYS = Keys()
ENDED_TTL_MS = 86_400_000
RECORDER, EPOCH = "recorder", "3"


@pytest.fixture
def queue(client: redis.Redis) -> redis.Redis:
    """A queue whose leader has granted the recorder its epoch."""
    client.xgroup_create(KEYS.commands, GROUP, id="0", mkstream=True)
    answer: Any = client.fcall(function_name("acquire_lease"), 1, KEYS.commands, "t", 60_000)
    client.fcall(function_name("confirm_integrity"), 1, KEYS.commands, "t", answer[1], "m")
    client.hset(KEYS.epochs, RECORDER, EPOCH)
    return client


def _outbox(queue: redis.Redis, epoch: str = EPOCH) -> Outbox:
    return Outbox(queue, KEYS, ENDED_TTL_MS, RECORDER, epoch)


def _put(queue: redis.Redis, chat_id: str, ended_at_ms: int | None) -> None:
    """A chat's snapshot, and its record in the outbox."""
    columns: dict[str, Any] = dict.fromkeys(RecordRow._fields, 0)
    texts = dict.fromkeys(("user_id", "advisor_id", "source"), "u")
    texts |= {"free_scope": "chat", "increment_due": "begin"}
    texts["status"] = "running" if ended_at_ms is None else "ended"
    times = {"end_reason": None, "pause_reason": None, "ended_at_ms": ended_at_ms}
    row = RecordRow(**columns | texts | times | {"chat_id": chat_id})
    queue.set(KEYS.chat(chat_id), "{}")
    queue.xadd(KEYS.outbox, {"facts": pack_payload(OutboxPayload([row], [], []))})


def test_an_ended_chat_expires_once_postgres_has_it(queue: redis.Redis) -> None:
    """Not before, and not before its time; a chat that goes on stays for ever."""
    _put(queue, "ended", 5)
    _put(queue, "open", None)
    entries = _outbox(queue).read(10, 1)
    assert queue.pttl(KEYS.chat("ended")) == -1, "Postgres does not have it yet"
    _outbox(queue).remove(entries)
    assert ENDED_TTL_MS - 60_000 < queue.pttl(KEYS.chat("ended")) <= ENDED_TTL_MS
    assert queue.pttl(KEYS.chat("open")) == -1
    assert queue.xlen(KEYS.outbox) == 0


def test_what_was_refused_expires_nothing(queue: redis.Redis) -> None:
    """Postgres does not have it: it is kept apart, and its chat stays in Redis."""
    _put(queue, "ended", 5)
    (entry,) = _outbox(queue).read(10, 1)
    _outbox(queue).reject(entry, "why")
    assert queue.pttl(KEYS.chat("ended")) == -1
    assert (queue.xlen(KEYS.outbox), queue.xlen(f"{KEYS.outbox}:refused")) == (0, 1)


def test_a_superseded_recorder_lets_nothing_expire(queue: redis.Redis) -> None:
    """Its entries stay for the one that came after it."""
    _put(queue, "ended", 5)
    entries = _outbox(queue).read(10, 1)
    with pytest.raises(RecorderFencedError):
        _outbox(queue, "2").remove(entries)
    assert queue.pttl(KEYS.chat("ended")) == -1
    assert queue.xlen(KEYS.outbox) == 1
