"""The outbox: what commits left in Redis for Postgres, until Postgres has it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import redis

from meterd.rules.redis_keys import Keys
from persistence.errors import RecorderFencedError
from persistence.redis.commit import StoredPayload, unpack_stored
from persistence.redis.functions import function_name

NOTHING: Final = "0-0"
_pack = msgspec.msgpack.encode


class OutboxEntry(NamedTuple):
    """One commit's facts, with their place in the outbox."""

    entry: str
    payload: StoredPayload


class Outbox:
    """Read in order, removed only when it is in Postgres, and only under the recorder's epoch."""

    def __init__(
        self, client: redis.Redis, keys: Keys, ended_ttl_ms: int, actor: str, epoch: str
    ) -> None:
        """``ended_ttl_ms``: for how long Redis keeps an ended chat that Postgres has."""
        self._client = client
        self._keys = keys
        self._ended_ttl_ms = ended_ttl_ms
        self._actor = actor
        self._epoch = epoch

    def read(self, most: int, block_ms: int) -> list[OutboxEntry]:
        """The oldest outbox entries; waits up to ``block_ms`` for one.

        What can't be read as a outbox entry is set aside at once: it must not hold up the others.
        """
        found: Any = self._client.xread({self._keys.outbox: "0"}, count=most, block=block_ms)
        read = [self._entry(e.decode(), f) for e, f in (found[0][1] if found else [])]
        return [entry for entry in read if entry is not None]

    def _entry(self, entry: str, fields: Mapping[bytes, bytes]) -> OutboxEntry | None:
        try:
            return OutboxEntry(entry, unpack_stored(fields[b"facts"]))
        except (KeyError, msgspec.MsgspecError) as error:
            self._deliver(refused=[(entry, f"unreadable: {error}")])
            return None

    def delivered(self) -> str:
        """The last outbox entry that Postgres has said to have; ``0-0`` before the first."""
        found: Any = self._client.get(self._keys.outbox_delivered)
        return found.decode() if found else NOTHING

    def doubt(self) -> None:
        """Postgres knows less than it has said: nobody may write before both were compared."""
        name = function_name("doubt")
        self._client.fcall(name, 1, self._keys.commands, self._actor, self._epoch)

    def remove(self, entries: Sequence[OutboxEntry]) -> None:
        """Postgres has these: let ended chats expire, then forget the outbox entries.

        Raises:
            FencedError: another recorder has begun.
        """
        ended = {
            record.chat_id
            for entry in entries
            for record in entry.payload.records
            if record.ended_at_ms is not None
        }
        self._deliver(delivered=[entry.entry for entry in entries], ended=sorted(ended))

    def reject(self, entry: OutboxEntry, why: str) -> None:
        """Postgres refuses this one: keep it apart, so that the others can go on.

        Raises:
            FencedError: another recorder has begun.
        """
        self._deliver(refused=[(entry.entry, why)])

    def _deliver(
        self,
        delivered: Sequence[str] = (),
        ended: Sequence[str] = (),
        refused: Sequence[tuple[str, str]] = (),
    ) -> None:
        order = {
            "actor": self._actor,
            "epoch": self._epoch,
            "ended_ttl_ms": self._ended_ttl_ms,
            "delivered": delivered,
            "ended": ended,
            "refused": refused,
        }
        try:
            name = function_name("ack_outbox")
            self._client.fcall(name, 1, self._keys.commands, _pack(order))
        except redis.ResponseError as error:
            if "FENCED" in str(error):
                raise RecorderFencedError(self._actor) from error
            raise
