"""Why nothing is decided until an operator says so, as Redis keeps it."""

import json
from typing import Any, Final

import redis

from meterd.rules.partitions import entry_name
from meterd.rules.redis_keys import Keys
from persistence.errors import HoldError
from persistence.postgres.rows import OperationRow
from persistence.redis.commit import OutboxPayload, pack_payload
from persistence.redis.functions import call_function

ACCEPT: Final = "clock.accept"
DROP: Final = "clock.drop"


def read_hold(client: redis.Redis, keys: Keys) -> dict[str, Any] | None:
    """What holds everything; None if nothing does.

    ``queue_ms`` is the queue's clock then. ``step_ms``: by how much the clock stepped; or ``entry``
    and ``ahead_ms``: an entry from the future, and how far it was ahead.
    """
    raw: Any = client.get(keys.clock_hold)
    return json.loads(raw) if raw else None


def clear_hold(
    client: redis.Redis, keys: Keys, hold: dict[str, Any], done_by: str, at_ms: int
) -> bool:
    """Let everything go on; False if somebody else has done so."""
    facts = _facts(ACCEPT, keys.partition, hold, hold, done_by, at_ms)
    return bool(call_function(client, "clear_hold", keys, facts))


def drop_ahead(
    client: redis.Redis,
    keys: Keys,
    hold: dict[str, Any],
    ahead_ms_max: int,
    done_by: str,
    at_ms: int,
) -> int:
    """Drop the entry from the future that holds everything, and set the stream's clock back.

    What came behind it is appended again, in its order, with IDs of now.

    Args:
        client: the daemon's Redis.
        keys: of the partition.
        hold: as ``read_hold`` gave it; it names the entry.
        ahead_ms_max: how far an ID may be ahead of the server's clock.
        done_by: who decides.
        at_ms: when, for the record.

    Returns:
        How many entries were appended again.

    Raises:
        HoldError: somebody else has decided meanwhile, or too many entries wait.
    """
    entry = hold["entry"]
    found: Any = client.xrange(keys.commands, entry, entry)
    fields = {_text(k): _text(v) for k, v in found[0][1].items()} if found else {}
    facts = _facts(DROP, keys.partition, hold, {**hold, "fields": fields}, done_by, at_ms)
    moved = call_function(client, "drop_ahead", keys, entry, ahead_ms_max, facts)
    if moved == _DECIDED:
        raise HoldError("nothing is held because of this entry")
    if moved == _TOO_MANY:
        raise HoldError(
            "more entries came behind it than can be appended again in one go: stop the senders "
            "that use this clock, and accept it"
        )
    return int(moved)


_DECIDED: Final = -1
_TOO_MANY: Final = -2


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace")


def _facts(
    operation: str,
    partition: int,
    hold: dict[str, Any],
    details: dict[str, Any],
    done_by: str,
    at_ms: int,
) -> str:
    """The outbox payload of a decision; the same decision has the same id."""
    what = hold.get("entry", hold.get("step_ms"))
    act = OperationRow(
        operation_id=entry_name(operation, f"{hold['queue_ms']}:{what}", partition),
        at_ms=at_ms,
        done_by=done_by,
        operation=operation,
        subject="clock",
        details=details,
    )
    return pack_payload(OutboxPayload([], [], [], [act]))
