"""Opens accounts in Redis with what users had in another system: one call for many."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec
import redis

from meterd.rules.model import Account, LedgerEntry
from meterd.rules.opening_balance import OpenedAccount
from meterd.rules.partitions import partition_of
from meterd.rules.redis_keys import Keys
from meterd.rules.snapshots import wallet_snapshot
from persistence.errors import UnverifiedStateError
from persistence.postgres.rows import FreeTimeRow
from persistence.redis.commit import is_readable, ledger_row, pack_json, pack_state, unpack_state
from persistence.redis.functions import call_function

OPENINGS_MAX: Final = 500
"""What one call takes: while it runs, nobody else is served."""

_pack: Final = msgspec.msgpack.encode
_OK: Final = b"ok"


class Opening(NamedTuple):
    """An account as it was seen and as it is to be, with what Postgres gets of the difference."""

    before: str
    """The head it had."""
    opened: OpenedAccount
    entry: LedgerEntry | None
    """None where the balance stays as it is."""
    free_times: Sequence[FreeTimeRow] = ()


class Openings:
    """Looks at accounts of one partition and opens them."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        """Work through ``client``."""
        self._client = client
        self._keys = keys

    def read(self, users: Sequence[str]) -> dict[str, tuple[str, Account]]:
        """The heads and accounts of these users; those that can't be read are left out."""
        if not users:
            return {}
        raws: Any = self._client.mget([self._keys.account(user) for user in users])
        seen = {u: unpack_state(raw, u) for u, raw in zip(users, raws, strict=True)}
        return {user: found for user, found in seen.items() if is_readable(found[1])}

    def open(self, openings: Sequence[Opening]) -> list[bool]:
        """Open accounts, or fix what they were opened with; False of one that has moved.

        Raises:
            UnverifiedStateError: no daemon of this version leads, or Redis was restarted.
        """
        assert len(openings) <= OPENINGS_MAX, "a call of Redis should be over soon"
        if not openings:
            return []
        packed = [pack_opening(opening) for opening in openings]
        try:
            results = call_function(self._client, "open_accounts", self._keys, *packed)
        except redis.ResponseError as error:
            if "FENCED" in str(error):
                raise UnverifiedStateError(str(error)) from error
            raise
        return [result == _OK for result in results]

    def outbox_length(self) -> int:
        """How many outbox entries wait for Postgres."""
        return int(self._client.xlen(self._keys.outbox))

    def outbox_first(self) -> str | None:
        """The first outbox entry that waits for Postgres; None if none does."""
        found: Any = self._client.xrange(self._keys.outbox, count=1)
        return found[0][0].decode() if found else None

    def outbox_last(self) -> str | None:
        """The last outbox entry that waits for Postgres; None if none does."""
        found: Any = self._client.xrevrange(self._keys.outbox, count=1)
        return found[0][0].decode() if found else None


class AllOpenings:
    """Looks at accounts and opens them, each in its own partition."""

    def __init__(self, parts: Sequence[Openings]) -> None:
        """``parts``: those of each partition, in order."""
        self.parts = parts

    def read(self, users: Sequence[str]) -> dict[str, tuple[str, Account]]:
        """The heads and accounts of these users; those that can't be read are left out."""
        shared: dict[int, list[str]] = {}
        for user in users:
            shared.setdefault(self._number(user), []).append(user)
        found: dict[str, tuple[str, Account]] = {}
        for number, mine in shared.items():
            found |= self.parts[number].read(mine)
        return found

    def open(self, openings: Sequence[Opening]) -> list[bool]:
        """Open accounts, or fix what they were opened with; False of one that has moved.

        Raises:
            UnverifiedStateError: no daemon works on a partition since its Redis was started. Those
                of other partitions may have been opened.
        """
        shared: dict[int, list[int]] = {}
        for place, opening in enumerate(openings):
            number = self._number(opening.opened.account.user_id)
            shared.setdefault(number, []).append(place)
        results = [False] * len(openings)
        for number, places in shared.items():
            done = self.parts[number].open([openings[place] for place in places])
            for place, is_open in zip(places, done, strict=True):
                results[place] = is_open
        return results

    def _number(self, user: str) -> int:
        return partition_of(user, len(self.parts))


def pack_opening(opening: Opening) -> bytes:
    """An opening as the library takes it: its text names the places of the parts."""
    head, account = opening.opened
    state, wallet = pack_state(head, account), pack_json(wallet_snapshot(account, account.as_of_ms))
    ledger = [pack_json(ledger_row(opening.entry))] if opening.entry is not None else []
    free_times = [pack_json(row) for row in opening.free_times]
    return _pack([account.user_id, opening.before, state, wallet, ledger, free_times])
