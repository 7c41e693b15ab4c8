"""What Redis has of many accounts, each account's keys as they are at one moment."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import redis

from meterd.rules.redis_keys import Keys
from persistence.redis.commit import unpack_payload

_SCAN_COUNT: Final = 1_000
_PARCELS: Final = 100
_ASKS_KEYS_MAX: Final = 1_000


class SnapshotRequest(NamedTuple):
    """An account, and some of its chats."""

    user: str
    chats: Sequence[str]
    part: int = 0
    """Which of several asks about one account this is."""


class AccountSnapshot(NamedTuple):
    """An account's keys as they were at one moment, unread."""

    user: str
    account: bytes | None
    wallet: bytes | None
    is_open: bool
    """Whether the set of users with open chats has this one."""
    chats: dict[str, bytes | None]
    part: int

    @property
    def applied(self) -> str:
        """The last entry applied; empty if there is no account."""
        return (self.account or b"").partition(b"|")[0].decode(errors="replace")


class UnreadableSnapshot(NamedTuple):
    """A outbox entry that Postgres refused."""

    entry: str
    users: frozenset[str]
    why: str


class SnapshotScan:
    """Reads many keys at once, in calls that are over soon."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        """Read through ``client``; nothing is ever written."""
        self._client = client
        self._keys = keys

    def take(self, asks: Iterable[SnapshotRequest]) -> Iterator[AccountSnapshot]:
        """One account snapshot for each ask, in turn."""
        for some in _shared_out(asks):
            pipeline = self._client.pipeline(transaction=True)
            for ask in some:
                pipeline.mget(self._names(ask))
                pipeline.sismember(self._keys.open_users, ask.user)
            answers = iter(pipeline.execute())
            for ask, values, is_open in zip(some, answers, answers, strict=True):
                account, wallet, *chats = values
                found = dict(zip(ask.chats, chats, strict=True))
                yield AccountSnapshot(
                    user=ask.user,
                    account=account,
                    wallet=wallet,
                    is_open=bool(is_open),
                    chats=found,
                    part=ask.part,
                )

    def accounts(self) -> Iterator[list[str]]:
        """Users with an account, some at a time; one may come more than once."""
        prefix = self._keys.account("")
        for found in self._scan(prefix):
            yield [name.decode(errors="replace").removeprefix(prefix) for name in found]

    def open_users(self) -> Iterator[list[str]]:
        """Users with open chats, some at a time; one may come more than once."""
        cursor = 0
        while True:
            answer: Any = self._client.sscan(self._keys.open_users, cursor, count=_SCAN_COUNT)
            cursor, found = answer
            yield [user.decode(errors="replace") for user in found]
            if cursor == 0:
                return

    def outbox_end(self) -> str | None:
        """The last entry of the outbox; None if nothing waits."""
        return self._outbox_edge(self._client.xrevrange(self._keys.outbox, count=1))

    def outbox_begin(self) -> str | None:
        """The entry of the outbox that is next; None if nothing waits."""
        return self._outbox_edge(self._client.xrange(self._keys.outbox, count=1))

    def users_in_outbox(self) -> Iterator[set[str]]:
        """Users about whom something waits for Postgres, outbox entry by outbox entry."""
        for _, fields in self._entries(self._keys.outbox):
            yield set(_users(fields[b"facts"]))

    def refused(self) -> Iterator[UnreadableSnapshot]:
        """What Postgres refused for good, in order."""
        for entry, fields in self._entries(f"{self._keys.outbox}:refused"):
            why = fields.get(b"why", b"").decode(errors="replace")
            yield UnreadableSnapshot(entry.decode(), frozenset(_users(fields[b"facts"])), why)

    def _names(self, ask: SnapshotRequest) -> list[str]:
        keys = self._keys
        return [keys.account(ask.user), keys.wallet(ask.user), *map(keys.chat, ask.chats)]

    def _scan(self, prefix: str) -> Iterator[list[bytes]]:
        cursor = 0
        while True:
            answer: Any = self._client.scan(cursor, match=f"{prefix}*", count=_SCAN_COUNT)
            cursor, found = answer
            yield found
            if cursor == 0:
                return

    def _entries(self, stream: str) -> Iterator[tuple[bytes, dict[bytes, bytes]]]:
        after = "-"
        while True:
            page: Any = self._client.xrange(stream, min=after, count=_PARCELS)
            yield from page
            if len(page) < _PARCELS:
                return
            after = f"({page[-1][0].decode()}"

    def _outbox_edge(self, found: Any) -> str | None:
        return found[0][0].decode() if found else None


def _shared_out(asks: Iterable[SnapshotRequest]) -> Iterator[list[SnapshotRequest]]:
    """As many asks together as one call should answer."""
    some: list[SnapshotRequest] = []
    room = _ASKS_KEYS_MAX
    for ask in asks:
        some.append(ask)
        room -= 2 + len(ask.chats)
        if room <= 0:
            yield some
            some, room = [], _ASKS_KEYS_MAX
    if some:
        yield some


def _users(facts: bytes) -> Iterator[str]:
    entry = unpack_payload(facts)
    yield from (row.user_id for row in entry.journal if row.user_id is not None)
    yield from (row.user_id for row in entry.ledger)
