"""The commands stream as the supervisor reads it: in order, fenced, waited for without polling."""

import enum
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import redis
import redis.asyncio

from meterd.rules.commands import Command, InvalidCommand, entry_key, entry_ms, parse_entry
from meterd.rules.partitions import Partition
from meterd.rules.redis_keys import GROUP, Keys
from persistence.errors import NotLeadingError
from persistence.redis.functions import FunctionName, function_name
from persistence.redis.versions import READABLE, VERSION, why_versions_refused

NEW: Final = ">"
AHEAD_MS_MAX: Final = 5_000


class LeaseGrant(NamedTuple):
    """The answer to a bid for leadership."""

    epoch: str
    """The epoch to work under; empty if another daemon leads."""
    wait_ms: int
    """For how long the other one still leads unless it renews."""
    is_state_verified: bool = False
    """Whether Redis has forgotten nothing since a leader found its memory complete."""


class ReadNotice(enum.StrEnum):
    """What a read found wrong with the stream, and has put right as far as it can be."""

    NONE = ""
    RECREATED = "recreated"
    """The group was gone: it begins again at the beginning."""
    CLAIMED = "claimed"
    """Another consumer of the group had read entries: they are pending, to be read again."""
    MISSING = "missing"
    """Entries were taken out of the stream before anybody had read them."""
    AHEAD = "ahead"
    """The next entry's ID is too far ahead of the server's clock: everything is held."""


class ReadBatch(NamedTuple):
    """What one read imported."""

    now_ms: int
    """The queue's clock at that moment."""
    entries: list[Command | InvalidCommand]
    notice: ReadNotice = ReadNotice.NONE
    number: int = 0
    """How many entries the notice is about."""


FENCED: Final = "another daemon leads, or this Redis was restarted: begin again"
"""Why this daemon may not write any more. Redis does not tell which of the two it is."""


class LeaseHolder(enum.Enum):
    """Who holds a lease, as one daemon sees it."""

    NOBODY = "nobody"
    THIS = "this daemon"
    """A supervisor of this daemon: this one, or an earlier one that has ended."""
    ANOTHER = "another daemon"


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

    def __init__(
        self,
        client: redis.asyncio.Redis,
        keys: Keys,
        token: str,
        ahead_ms_max: int = AHEAD_MS_MAX,
        partitions: int = 1,
    ) -> None:
        """Read as the daemon that ``token`` stands for.

        ``ahead_ms_max``: how far an entry's ID may be ahead of the server's clock.
        ``partitions``: how many there are.
        """
        self._partition = Partition(keys.partition, partitions)
        self._ahead_ms_max = ahead_ms_max
        self._client = client
        self._keys = keys
        self._token = token
        self.epoch = ""
        self._delivered = "0-0"
        self._is_placed = False
        """Whether ``_delivered`` is known to be the group's place: entries that an earlier life has
        handled are behind it, though none of them was seen in this one."""
        self._is_sure = True

    async def create_group(self) -> None:
        """Make stream and group unless they are there; the group begins at the beginning."""
        try:
            await self._client.xgroup_create(self._keys.commands, GROUP, id="0", mkstream=True)
        except redis.ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    async def acquire_lease(self, lease_ms: int) -> LeaseGrant:
        """Bid for leadership. Winning takes every older actor's right to write.

        Raises:
            NotLeadingError: a newer meterd has led, and written what this one can't read.
        """
        # From here on until the answer nobody knows this daemon's epoch: nothing is renewed.
        self.epoch = ""
        kind, value, *verified = await self._call("acquire_lease", self._token, lease_ms)
        if kind == b"newer":
            raise NotLeadingError(
                why_versions_refused(VERSION, (), formats=READABLE, found_format=int(value))
            )
        if kind != b"leading":
            return LeaseGrant("", max(1, int(value)))
        self.epoch = value.decode()
        return LeaseGrant(self.epoch, 0, verified == [b"verified"])

    async def lease_holder(self) -> LeaseHolder:
        """Who holds the lease at the moment."""
        token: Any = await self._client.get(self._keys.leader)
        if token is None:
            return LeaseHolder.NOBODY
        return LeaseHolder.THIS if token == self._token.encode() else LeaseHolder.ANOTHER

    async def confirm_integrity(self, memory_id: str) -> bool:
        """Say that Redis remembers all that Postgres knows; False if another daemon leads."""
        return bool(await self._call("confirm_integrity", self._token, self.epoch, memory_id))

    async def renew_lease(self, lease_ms: int) -> LeaseStatus:
        """Hold on to leadership, and learn whether it is still of any use."""
        return LeaseStatus(await self._call("renew_lease", self._token, self.epoch, lease_ms))

    async def count_lead(self) -> int:
        """Note that another supervisor leads; returns how often that has been so."""
        try:
            # INCR by its name: `incr` of the client sends INCRBY, a right of its own.
            leads: Any = await self._client.execute_command("INCR", self._keys.leads)  # type: ignore[no-untyped-call]
            return int(leads)
        except redis.ResponseError:  # a full server: leading goes before counting
            return int(await self._client.get(self._keys.leads) or 0)

    async def resign(self) -> None:
        """Let the next daemon begin at once."""
        self.epoch = ""
        await self._call("resign", self._token)

    async def publish(self, status: bytes, ttl_ms: int) -> None:
        """Let everybody read how it is, for so long."""
        await self._call("publish", status, ttl_ms)

    async def issue_epoch(self, actor: str) -> str:
        """A new epoch for an actor; whoever had the name before can't write any more.

        Raises:
            NotLeadingError: another daemon has taken over.
        """
        epoch = await self._call("issue_epoch", self.epoch, actor)
        if epoch is None:
            raise NotLeadingError(FENCED)
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
            if unseen.entries or unseen.notice:
                return unseen
        self._is_sure = False
        delivery = await self._read(NEW, count)
        await self._follow_group(delivery)
        # What is held back is pending, too: it comes first, once nothing is held any more.
        self._is_sure = delivery.notice is not ReadNotice.AHEAD
        return delivery

    async def _follow_group(self, delivery: ReadBatch) -> None:
        """Go where the group is: back to the begin, if it was made again; to its end, once."""
        if delivery.notice is ReadNotice.RECREATED:
            self._delivered, self._is_placed = "0-0", False
        elif delivery.entries:
            # Lower than before, if it was made again and the answer that says so was lost.
            self._delivered = delivery.entries[-1].entry
        elif not delivery.notice and not self._is_placed:
            groups: Any = await self._client.xinfo_groups(self._keys.commands)
            places = [one["last-delivered-id"] for one in groups if one["name"] == GROUP.encode()]
            self._delivered = places[0].decode() if places else self._delivered
            self._is_placed = True

    async def wait(self, block_ms: int) -> None:
        """Return as soon as there is an entry that was not delivered, or after ``block_ms``."""
        await self._client.xread({self._keys.commands: self._delivered}, count=1, block=block_ms)

    async def trim(self, keep_ms: int) -> None:
        """Drop entries that were handled longer than ``keep_ms`` ago (by the queue's clock).

        All of a handled entry that is of use has gone to the outbox with its commit; those of
        commits that Postgres does not have yet stay all the same, for ``meterd recover``.
        """
        seconds, _ = await self._client.time()
        undelivered: Any = await self._client.xrange(self._keys.outbox, count=1)
        oldest: Any = (await self._client.xpending(self._keys.commands, GROUP))["min"]
        first = oldest.decode() if oldest else self._delivered
        since_ms = entry_ms(undelivered[0][0].decode()) if undelivered else seconds * 1000
        limit = min(entry_key(first), (since_ms - keep_ms, 0))
        if limit > (0, 0):
            await self._call("trim", self.epoch, f"{limit[0]}-{limit[1]}")

    async def _read(self, after: str, count: int) -> ReadBatch:
        try:
            now_ms, entries, notice, number = await self._call(
                "read", self.epoch, after, count, self._ahead_ms_max
            )
        except redis.ResponseError as error:
            if "FENCED" in str(error):
                raise NotLeadingError(FENCED) from error
            raise
        batch = ReadBatch(
            int(now_ms),
            [self._parse(entry) for entry in entries],
            ReadNotice(notice.decode()),
            number,
        )
        if batch.notice is ReadNotice.AHEAD:
            self._is_sure = False
        return batch

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
        return parse_entry(entry_id, flat, self._partition)

    async def _call(self, name: FunctionName, *args: str | bytes | int) -> Any:
        return await self._client.fcall(function_name(name), 1, self._keys.commands, *args)
