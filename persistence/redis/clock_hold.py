"""Why nothing is decided until an operator says so, as Redis keeps it."""

import json
from typing import Any, Final

import redis

from meterd.rules.redis_keys import Keys
from persistence.postgres.rows import OperationRow
from persistence.redis.commit import OutboxPayload, pack_payload

ACCEPT: Final = "clock.accept"


def read_hold(client: redis.Redis, keys: Keys) -> dict[str, Any] | None:
    """The step of the clock that holds everything; None if nothing does."""
    raw: Any = client.get(keys.clock_hold)
    return json.loads(raw) if raw else None


def clear_hold(
    client: redis.Redis, keys: Keys, hold: dict[str, Any], done_by: str, at_ms: int
) -> bool:
    """Let everything go on; False if somebody else has done so."""
    name = f"{ACCEPT}:{hold['queue_ms']}:{hold['step_ms']}"
    act = OperationRow(
        operation_id=name,
        at_ms=at_ms,
        done_by=done_by,
        operation=ACCEPT,
        subject="clock",
        details=hold,
    )
    facts = pack_payload(OutboxPayload([], [], [], [act]))
    return bool(client.fcall("meterd_clear_hold", 1, keys.commands, facts))
