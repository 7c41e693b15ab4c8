"""How far Redis and Postgres say that each of them is."""

from collections.abc import Iterator

import redis
from sqlalchemy import Engine

from daemon.audit.differences import Difference
from meterd.rules.redis_keys import Keys
from persistence.postgres.recorder_state import fetch_position
from persistence.redis.integrity import forgotten_by_postgres, read_position, what_is_missing


def compare_positions(client: redis.Redis, keys: Keys, engine: Engine) -> Iterator[Difference]:
    """What one of them knows and the other does not, and epochs that would be given twice."""
    try:
        yield from _compare(client, keys, engine)
    except redis.ResponseError:
        return  # a key is of another type, which is a difference of its own


def _compare(client: redis.Redis, keys: Keys, engine: Engine) -> Iterator[Difference]:
    before = read_position(client, keys)
    with engine.connect() as connection:
        known = fetch_position(connection, keys.partition)
    after = read_position(client, keys)
    # Each is asked later than the one that it must not be behind.
    missing = forgotten_by_postgres(before, known) or what_is_missing(
        after._replace(delivered=before.delivered), known
    )
    if missing:
        yield _differs("both know the same", missing)
    epoch, given = _epochs(client, keys)
    if epoch < max([known.epoch, *given]):
        yield _differs(f"epoch={max([known.epoch, *given])} or later", f"epoch={epoch}")


def _epochs(client: redis.Redis, keys: Keys) -> tuple[int, list[int]]:
    """The last epoch that was given to anybody, and those that are held."""
    pipeline = client.pipeline(transaction=True)
    pipeline.hvals(keys.epochs)
    pipeline.get(keys.epoch)
    held, last = pipeline.execute()
    return _number(last), [_number(one) for one in held]


def _number(raw: bytes | None) -> int:
    return int(raw) if raw and raw.isdigit() else 0


def _differs(expected: str, found: str) -> Difference:
    return Difference("position", None, None, None, expected, found)
