"""What Redis has of many accounts, each account's keys as they are at one moment."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import redis

from meterd.rules.redis_keys import Keys
from persistence.postgres.rows import JournalRow
from persistence.redis.commit import OutboxPayload, unpack_payload

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
        self.client = client
        self.keys = keys

    def take(self, asks: Iterable[SnapshotRequest]) -> Iterator[AccountSnapshot]:
        """One account snapshot for each ask, in turn."""
        for some in _shared_out(asks):
            pipeline = self.client.pipeline(transaction=True)
            for ask in some:
                pipeline.mget(self._names(ask))
                pipeline.sismember(self.keys.open_users, ask.user)
            # A key of another type answers with an error: it holds nothing of this.
            answers = iter(pipeline.execute(raise_on_error=False))
            for ask, values, is_open in zip(some, answers, answers, strict=True):
                account, wallet, *chats = values
                found = dict(zip(ask.chats, chats, strict=True))
                yield AccountSnapshot(
                    user=ask.user,
                    account=account,
                    wallet=wallet,
                    is_open=is_open == 1,
                    chats=found,
                    part=ask.part,
                )

    def open_users(self) -> Iterator[list[str]]:
        """Users with open chats, some at a time; one may come more than once."""
        cursor = 0
        while True:
            try:
                answer: Any = self.client.sscan(self.keys.open_users, cursor, count=_SCAN_COUNT)
            except redis.ResponseError:  # it is no set, and has no members
                return
            cursor, found = answer
            yield [user.decode(errors="replace") for user in found]
            if cursor == 0:
                return

    def outbox_end(self) -> str | None:
        """The last entry of the outbox; None if nothing waits."""
        return self._outbox_edge("+", "-")

    def outbox_begin(self) -> str | None:
        """The entry of the outbox that is next; None if nothing waits."""
        return self._outbox_edge("-", "+")

    def users_in_outbox(self) -> Iterator[set[str]]:
        """Users about whom something waits for Postgres, outbox entry by outbox entry."""
        for payload in self._payloads():
            yield set(_users(payload))

    def chats_in_outbox(self) -> Iterator[set[str]]:
        """Chats about which something waits for Postgres, outbox entry by outbox entry."""
        for payload in self._payloads():
            yield {row.chat_id for row in payload.records}

    def journal_in_outbox(self) -> Iterator[JournalRow]:
        """Rows of the journal that wait for Postgres."""
        for payload in self._payloads():
            yield from payload.journal

    def refused(self) -> Iterator[UnreadableSnapshot]:
        """What Postgres refused for good, in order."""
        for entry, fields in self._entries(f"{self.keys.outbox}:refused"):
            why = fields.get(b"why", b"").decode(errors="replace")
            payload = _payload(fields)
            users = frozenset(_users(payload) if payload else ())
            yield UnreadableSnapshot(entry.decode(), users, why)

    def _names(self, ask: SnapshotRequest) -> list[str]:
        keys = self.keys
        return [keys.account(ask.user), keys.wallet(ask.user), *map(keys.chat, ask.chats)]

    def _payloads(self) -> Iterator[OutboxPayload]:
        for _, fields in self._entries(self.keys.outbox):
            payload = _payload(fields)
            if payload is not None:
                yield payload

    def _entries(self, stream: str) -> Iterator[tuple[bytes, dict[bytes, bytes]]]:
        after = "-"
        while True:
            try:
                page: Any = self.client.xrange(stream, min=after, count=_PARCELS)
            except redis.ResponseError:  # it is no stream, and has no entries
                return
            yield from page
            if len(page) < _PARCELS:
                return
            after = f"({page[-1][0].decode()}"

    def _outbox_edge(self, begin: str, end: str) -> str | None:
        read = self.client.xrevrange if begin == "+" else self.client.xrange
        try:
            found: Any = read(self.keys.outbox, begin, end, count=1)
        except redis.ResponseError:  # it is no stream, and has no entries
            return None
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


def _payload(fields: dict[bytes, bytes]) -> OutboxPayload | None:
    """What an entry holds; None if it can't be read."""
    try:
        return unpack_payload(fields.get(b"facts", b""))
    except msgspec.MsgspecError:
        return None


def _users(payload: OutboxPayload) -> Iterator[str]:
    yield from (row.user_id for row in payload.journal if row.user_id is not None)
    yield from (row.user_id for row in payload.ledger)
