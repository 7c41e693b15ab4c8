"""Waits for what was opened in Redis to reach Postgres, with an end."""

import time
from collections.abc import Callable
from functools import partial
from typing import Final

import redis

from daemon.legacy.errors import FlushTimeoutError
from meterd.rules.commands import entry_key
from persistence.redis.opening_balances import AllOpenings, Openings

OUTBOX_ENTRIES_MAX: Final = 100
"""Batches that may wait for Postgres before the next one is opened."""
WAIT_S: Final = 0.05
WAIT_S_MAX: Final = 30.0


def wait_for_postgres(openings: AllOpenings) -> None:
    """Wait until all that is in the outboxes now is in Postgres.

    Raises:
        FlushTimeoutError: it takes too long.
    """
    lasts = [(one, one.outbox_last()) for one in openings.parts]
    for one, last in lasts:
        _wait_until(partial(_has_delivered, one, last))


def make_room(openings: AllOpenings) -> None:
    """Wait until few outbox entries are left in each partition.

    Raises:
        FlushTimeoutError: they do not get fewer.
    """
    for one in openings.parts:
        _wait_until(partial(_has_room, one))


def queue_ms(client: redis.Redis) -> int:
    """The queue's clock."""
    seconds, micros = client.time()
    return int(seconds) * 1_000 + int(micros) // 1_000


def _wait_until(holds: Callable[[], bool]) -> None:
    began_s = time.monotonic()
    while not holds():
        if time.monotonic() - began_s >= WAIT_S_MAX:
            raise FlushTimeoutError("what was opened does not reach PostgreSQL: see meterd status")
        time.sleep(WAIT_S)


def _has_room(one: Openings) -> bool:
    return one.outbox_length() < OUTBOX_ENTRIES_MAX


def _has_delivered(one: Openings, last: str | None) -> bool:
    first = one.outbox_first()
    return first is None or last is None or entry_key(first) > entry_key(last)
