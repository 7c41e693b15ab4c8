"""Waits for what was opened in Redis to reach Postgres, with an end."""

import time
from collections.abc import Iterator
from typing import Any, Final

import redis

from daemon.legacy.errors import FlushTimeoutError
from meterd.rules.commands import entry_key
from meterd.rules.redis_keys import Keys
from persistence.redis.opening_balances import Openings

OUTBOX_ENTRIES_MAX: Final = 100
"""Batches that may wait for Postgres before the next one is opened."""
WAIT_S: Final = 0.05
WAIT_S_MAX: Final = 30.0


def wait_for_postgres(client: redis.Redis) -> None:
    """Wait until all that is in the outbox now is in Postgres.

    Raises:
        FlushTimeoutError: it takes too long.
    """
    outbox = Keys().outbox
    last: Any = client.xrevrange(outbox, count=1)
    for _ in _waits():
        first: Any = client.xrange(outbox, count=1)
        if not first or not last or _key(first) > _key(last):
            return


def make_room(openings: Openings) -> None:
    """Wait until few outbox entries are left.

    Raises:
        FlushTimeoutError: they do not get fewer.
    """
    for _ in _waits():
        if openings.outbox_length() < OUTBOX_ENTRIES_MAX:
            return


def queue_ms(client: redis.Redis) -> int:
    """The queue's clock."""
    seconds, micros = client.time()
    return int(seconds) * 1_000 + int(micros) // 1_000


def _waits() -> Iterator[None]:
    began_s = time.monotonic()
    while time.monotonic() - began_s < WAIT_S_MAX:
        yield
        time.sleep(WAIT_S)
    raise FlushTimeoutError("what was opened does not reach PostgreSQL: see meterd status")


def _key(found: Any) -> tuple[int, int]:
    return entry_key(found[0][0].decode())
