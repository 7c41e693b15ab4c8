"""Do Redis and Postgres still know what they have told each other? Asked before anything is billed.

A Redis that was restarted empty, from an older copy, or behind a lagging replica answers as if
nothing were wrong, and so does a Postgres whose standby took over without the last rows. Positions
tell: the outbox's last entry and the last one that Postgres has said to have, of which Postgres has
noted how far it got, and the last command, of which the journal has a row. None ever goes back by
itself.
"""

import asyncio
import secrets
from typing import Any, NamedTuple

import redis
import redis.asyncio
from sqlalchemy import Engine

from meterd.rules.commands import entry_key
from meterd.rules.redis_keys import Keys
from persistence.errors import StateLostError
from persistence.postgres.recorder_state import (
    NOTHING,
    PostgresPosition,
    claim_recorder,
    fetch_position,
)


class RedisPosition(NamedTuple):
    """What Redis shows of its memory."""

    memory_id: str
    """Empty where nobody has ever verified it."""
    commands: str
    """The last entry that the commands stream has ever had."""
    outbox: str
    """The last entry that the outbox has ever had."""
    delivered: str = NOTHING
    """The last one of them that Postgres has said to have."""


def what_is_missing(evidence: RedisPosition, known: PostgresPosition) -> str:
    """What one of them knows and the other does not, for a person; empty if nothing is."""
    if known.memory_id and evidence.memory_id not in ("", known.memory_id):
        return (
            f"this Redis is another one (memory {evidence.memory_id}) than the one Postgres has "
            f"its facts from ({known.memory_id})"
        )
    if entry_key(evidence.commands) < entry_key(known.journal):
        return (
            f"the commands stream ends at {evidence.commands}, the journal knows of {known.journal}"
        )
    if entry_key(evidence.outbox) < entry_key(known.outbox):
        return f"the outbox ends at {evidence.outbox}, Postgres has had {known.outbox} from it"
    if not evidence.memory_id and known.outbox != NOTHING:
        return f"Redis is empty, Postgres has had {known.outbox} from its outbox"
    return forgotten_by_postgres(evidence, known)


def forgotten_by_postgres(evidence: RedisPosition, known: PostgresPosition) -> str:
    """What Postgres has said to have and does not know any more; empty if nothing is.

    As after a failover to a standby that was behind. What is missing is the end of what it had.
    """
    if entry_key(evidence.delivered) <= entry_key(known.outbox):
        return ""
    return (
        f"Postgres has had the outbox up to {evidence.delivered} and knows it up to "
        f"{known.outbox}; its journal ends at {known.journal}"
    )


class IntegrityCheck:
    """The comparison of both servers, for the supervisor."""

    def __init__(self, client: redis.asyncio.Redis, keys: Keys, engine: Engine) -> None:
        """Compare what ``client`` reads with what ``engine`` reads."""
        self._client = client
        self._keys = keys
        self._engine = engine

    async def compare(self) -> str:
        """The name of the memory that may be verified.

        Raises:
            MemoryLostError: Redis knows less than Postgres.
            SQLAlchemyError: Postgres does not answer.
        """
        evidence = await self._redis_position()
        name = evidence.memory_id or secrets.token_hex(8)
        known = await asyncio.to_thread(self._postgres_position, name)
        missing = what_is_missing(evidence, known)
        if missing:
            whose = "Postgres" if forgotten_by_postgres(evidence, known) == missing else "Redis"
            raise StateLostError(f"{whose} has lost state: {missing}; see: meterd recover")
        return known.memory_id

    def _postgres_position(self, name: str) -> PostgresPosition:
        with self._engine.begin() as connection:
            known = fetch_position(connection, self._keys.partition)
            if known.memory_id:
                return known
            claim_recorder(connection, self._keys.partition, name)
            return fetch_position(connection, self._keys.partition)

    async def _redis_position(self) -> RedisPosition:
        pipeline = self._client.pipeline(transaction=False)
        return _evidence(await _ask(pipeline, self._keys).execute(raise_on_error=False))


def read_position(client: redis.Redis, keys: Keys) -> RedisPosition:
    """What a Redis shows of its state, for callers that are not asynchronous."""
    return _evidence(_ask(client.pipeline(transaction=False), keys).execute(raise_on_error=False))


def _ask(pipeline: Any, keys: Keys) -> Any:
    pipeline.get(keys.instance_id)
    pipeline.xinfo_stream(keys.commands)
    pipeline.xinfo_stream(keys.outbox)
    pipeline.get(keys.outbox_delivered)
    return pipeline


def _evidence(answers: list[Any]) -> RedisPosition:
    memory_id, commands, outbox, delivered = answers
    for answer in (memory_id, delivered):
        if isinstance(answer, Exception):
            raise answer
    return RedisPosition(
        memory_id.decode() if memory_id else "",
        _last(commands),
        _last(outbox),
        delivered.decode() if delivered else NOTHING,
    )


def _last(info: Any) -> str:
    """The last entry that a stream has ever had, by XINFO's answer."""
    if isinstance(info, Exception):
        if "no such key" in str(info):
            return NOTHING
        raise info
    return str(info["last-generated-id"].decode())
