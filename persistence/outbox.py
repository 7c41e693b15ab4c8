"""The outbox: what commits left in Redis for Postgres, until Postgres has it."""

from typing import Any, NamedTuple

import redis

from persistence.commit import Facts, unpack_facts
from persistence.keys import Keys


class Parcel(NamedTuple):
    """One commit's facts, with their place in the outbox."""

    entry: str
    facts: Facts


class Outbox:
    """Read in order, removed only when it is in Postgres."""

    def __init__(self, client: redis.Redis, keys: Keys, ended_ttl_ms: int) -> None:
        """``ended_ttl_ms``: for how long Redis keeps an ended chat that Postgres has."""
        self._client = client
        self._keys = keys
        self._ended_ttl_ms = ended_ttl_ms

    def read(self, most: int, block_ms: int) -> list[Parcel]:
        """The oldest parcels; waits up to ``block_ms`` for one."""
        found: Any = self._client.xread({self._keys.outbox: "0"}, count=most, block=block_ms)
        entries = found[0][1] if found else []
        return [Parcel(e.decode(), unpack_facts(f[b"facts"])) for e, f in entries]

    def remove(self, parcels: list[Parcel]) -> None:
        """Postgres has these: let ended chats expire, then forget the parcels.

        In this order: if it is cut short, the parcels come again and nothing is lost.
        """
        pipeline = self._client.pipeline(transaction=False)
        for parcel in parcels:
            for record in parcel.facts.records:
                if record.ended_at_ms is not None:
                    pipeline.pexpire(self._keys.chat(record.chat_id), self._ended_ttl_ms)
        pipeline.xdel(self._keys.outbox, *(parcel.entry for parcel in parcels))
        pipeline.execute()

    def set_aside(self, parcel: Parcel, why: str) -> None:
        """Postgres refuses this one: keep it apart, so that the others can go on."""
        pipeline = self._client.pipeline(transaction=True)
        raw: Any = self._client.xrange(self._keys.outbox, parcel.entry, parcel.entry)
        for _, fields in raw:
            pipeline.xadd(f"{self._keys.outbox}:refused", {**fields, b"why": why.encode()})
        pipeline.xdel(self._keys.outbox, parcel.entry)
        pipeline.execute()
