"""The commands stream as the supervisor reads it: in order, fenced, waited for without polling."""

import enum
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import redis
import redis.asyncio

from meterd.rules.commands import Command, InvalidCommand, entry_key, parse_entry
from meterd.rules.redis_keys import GROUP, Keys
from persistence.errors import NotLeadingError

NEW: Final = ">"


class LeaseGrant(NamedTuple):
    """The answer to a bid for leadership."""

    epoch: str
    """The epoch to work under; empty if another daemon leads."""
    wait_ms: int
    """For how long the other one still leads unless it renews."""
    is_state_verified: bool = False
    """Whether Redis has forgotten nothing since a leader found its memory complete."""


class ReadBatch(NamedTuple):
    """What one read imported."""

    now_ms: int
    """The queue's clock at that moment."""
    entries: list[Command | InvalidCommand]


class LeaseStatus(enum.IntEnum):
    """What became of a leadership."""

    LOST = 0
    """Another daemon leads."""
    VERIFIED = 1
    """This one does, and may write."""
    UNVERIFIED = 2
    """This one does, but Redis was restarted: its memory has to be compared first."""


class CommandStream:
    """The commands stream, its group, and the right to read it."""

    def __init__(self, client: redis.asyncio.Redis, keys: Keys, token: str) -> None:
        """Read as the daemon that ``token`` stands for."""
        self._client = client
        self._keys = keys
        self._token = token
        self.epoch = ""
        self._delivered = "0-0"
        self._is_sure = True

    async def create_group(self) -> None:
        """Make stream and group unless they are there; the group begins at the beginning."""
        try:
            await self._client.xgroup_create(self._keys.commands, GROUP, id="0", mkstream=True)
        except redis.ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    async def acquire_lease(self, lease_ms: int) -> LeaseGrant:
        """Bid for leadership. Winning takes every older actor's right to write."""
        kind, value, *verified = await self._call("meterd_acquire_lease", self._token, lease_ms)
        if kind != b"leading":
            return LeaseGrant("", max(1, int(value)))
        self.epoch = value.decode()
        return LeaseGrant(self.epoch, 0, verified == [b"verified"])

    async def confirm_integrity(self, memory_id: str) -> bool:
        """Say that Redis remembers all that Postgres knows; False if another daemon leads."""
        return bool(
            await self._call("meterd_confirm_integrity", self._token, self.epoch, memory_id)
        )

    async def renew_lease(self, lease_ms: int) -> LeaseStatus:
        """Hold on to leadership, and learn whether it is still of any use."""
        return LeaseStatus(
            await self._call("meterd_renew_lease", self._token, self.epoch, lease_ms)
        )

    async def count_lead(self) -> int:
        """Note that another supervisor leads; returns how often that has been so."""
        try:
            return int(await self._client.incr(self._keys.leads))
        except redis.ResponseError:  # a full server: leading goes before counting
            return int(await self._client.get(self._keys.leads) or 0)

    async def resign(self) -> None:
        """Let the next daemon begin at once."""
        await self._call("meterd_resign", self._token)
        self.epoch = ""

    async def publish(self, status: bytes, ttl_ms: int) -> None:
        """Let everybody read how it is, for so long."""
        await self._call("meterd_publish", status, ttl_ms)

    async def issue_epoch(self, actor: str) -> str:
        """A new epoch for an actor; whoever had the name before can't write any more.

        Raises:
            NotLeadingError: another daemon has taken over.
        """
        epoch = await self._call("meterd_issue_epoch", self.epoch, actor)
        if epoch is None:
            raise NotLeadingError("another daemon has taken over")
        return str(epoch.decode())

    async def pending(self, after: str, count: int) -> ReadBatch:
        """Entries delivered in an earlier life and not acknowledged, from ``after`` on."""
        return await self._read(after, count)

    async def new(self, count: int) -> ReadBatch:
        """The next entries, if there are any.

        A read whose answer was lost has delivered its entries all the same: they are pending, and
        later than all that was seen. They come first, or they would wait for the next restart.
        """
        if not self._is_sure:
            unseen = await self._read(self._delivered, count)
            if unseen.entries:
                return unseen
        self._is_sure = False
        delivery = await self._read(NEW, count)
        self._is_sure = True
        return delivery

    async def wait(self, block_ms: int) -> None:
        """Return as soon as there is an entry that was not delivered, or after ``block_ms``."""
        await self._client.xread({self._keys.commands: self._delivered}, count=1, block=block_ms)

    async def trim(self, keep_ms: int) -> None:
        """Drop entries that were handled longer than ``keep_ms`` ago (by the queue's clock).

        All of a handled entry that is of use has gone to the outbox with its commit.
        """
        seconds, _ = await self._client.time()
        oldest: Any = (await self._client.xpending(self._keys.commands, GROUP))["min"]
        first = oldest.decode() if oldest else self._delivered
        limit = min(entry_key(first), (seconds * 1000 - keep_ms, 0))
        if limit > (0, 0):
            await self._call("meterd_trim", self.epoch, f"{limit[0]}-{limit[1]}")

    async def _read(self, after: str, count: int) -> ReadBatch:
        try:
            now_ms, entries = await self._call("meterd_read", self.epoch, after, count)
        except redis.ResponseError as error:
            if "FENCED" in str(error):
                raise NotLeadingError("another daemon has taken over") from error
            raise
        return ReadBatch(int(now_ms), [self._parse(entry) for entry in entries])

    def _parse(self, entry: Sequence[Any]) -> Command | InvalidCommand:
        entry_id, flat = entry[0].decode(), entry[1]
        if entry_key(entry_id) > entry_key(self._delivered):
            self._delivered = entry_id
        if not flat:
            gone = InvalidCommand(
                entry=entry_id,
                at_ms=0,
                id="",
                reply_to="",
                reason="the entry was deleted before it was handled",
                fields={},
            )
            return gone._replace(at_ms=int(entry_id.partition("-")[0]))
        return parse_entry(entry_id, flat)

    async def _call(self, function: str, *args: str | bytes | int) -> Any:
        return await self._client.fcall(function, 1, self._keys.commands, *args)
