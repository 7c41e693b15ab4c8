"""What the client gives back: frozen, typed, credits as Decimal, times as integer milliseconds."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final, Generic, TypeAlias, TypeVar

import msgspec
from msgspec.structs import replace

from meterd.rules import billing
from meterd.rules.model import (
    DUE_AT_BEGIN,
    ENDED,
    FREE_OF_CHAT,
    LIVE,
    MIGRATED,
    NOT_STARTED,
    RUNNING,
    FreeScope,
    IncrementDue,
    chat_at,
)
from meterd.rules.money import MS_PER_MINUTE, format_micro, read_micro
from meterd.rules.outcomes import OK

_MICRO: Final = Decimal("0.000001")


class ChatSnapshot(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A chat as it was at ``as_of``. Of a chat that never started: zeros and None."""

    chat_id: str
    user_id: str | None
    advisor_id: str | None
    status: str
    """``running``, ``paused``, ``suspended``, ``ended`` or ``not_started``."""
    as_of: int | None
    started_at: int | None
    ended_at: int | None
    end_reason: str | None
    pause_reason: str | None
    active_ms: int
    paused_ms: int
    billed_ms: int
    cost: Decimal
    refunded: Decimal
    rate: Decimal
    """Credits a minute, the last in force."""
    free_ms: int
    """Free time; where chats share it, what this one has used and will still get."""
    free_scope: FreeScope
    """Which chats share the free time: ``chat``, ``advisor`` or ``user``."""
    min_ms: int
    increment_ms: int
    """0 where it is not known."""
    increment_due: IncrementDue
    idle_ms: int
    abandon_ms: int
    max_ms: int
    seq: int
    """Grows with every change of the chat: of two snapshots, the higher is the newer."""
    source: str | None = LIVE
    """``live``: metered here; ``migrated``: imported after it had ended in another system;
    ``legacy``: still in the system before meterd; None: it never started.

    The only one with a default: encoded, a snapshot of a ``live`` chat is that of the contract.
    """

    @property
    def is_running(self) -> bool:
        """Whether the clock runs."""
        return self.status == RUNNING

    @property
    def is_open(self) -> bool:
        """Whether the chat has started and not ended."""
        return self.status not in (NOT_STARTED, ENDED)

    def active_ms_at(self, now_ms: int) -> int:
        """Time running up to ``now_ms`` (of the queue's clock), if nothing else happens."""
        return self.active_ms + self._since(now_ms)

    def cost_at(self, now_ms: int) -> Decimal:
        """Cost up to ``now_ms``, if nothing else happens; to show it, not to charge it.

        May be a micro-credit less than the daemon's figure, which keeps fractions of them.
        """
        elapsed_ms = self._since(now_ms)
        if not elapsed_ms:
            return self.cost
        grown_ms = self._billed_ms(self.active_ms + elapsed_ms) - self._billed_ms(self.active_ms)
        grown_micro = grown_ms * _micro(self.rate) // MS_PER_MINUTE
        return Decimal(format_micro(_micro(self.cost) + grown_micro))

    def _billed_ms(self, active_ms: int) -> int:
        chat = chat_at(self.chat_id, "", 0)._replace(
            free_ms=self.free_ms,
            min_ms=self.min_ms,
            increment_ms=self.increment_ms,
            increment_due=self.increment_due,
        )
        return billing.billed_ms(chat, active_ms)

    def _since(self, now_ms: int) -> int:
        """For how long the clock has run since the snapshot; a clock that is behind is no debt."""
        if not self.is_running or self.as_of is None:
            return 0
        return max(0, now_ms - self.as_of)


class WalletSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A user's account as it was at ``as_of``. Of a user without one: zeros and None."""

    user_id: str
    as_of: int | None
    balance: Decimal
    burn_rate: Decimal
    """Credits a minute, of all chats that cost at ``as_of``."""
    zero_at: int | None
    """The last millisecond that the account can pay for, if nothing else happens."""
    open_chats: int
    seq: int

    def balance_at(self, now_ms: int) -> Decimal:
        """Balance at ``now_ms`` if nothing else happens, falling evenly; to show it.

        Chats billed in increments take their credits in steps; this line runs between them.
        """
        if self.as_of is None or now_ms <= self.as_of:
            return self.balance
        until = now_ms if self.zero_at is None else min(now_ms, self.zero_at)
        burnt = self.burn_rate * max(0, until - self.as_of) / MS_PER_MINUTE
        return max(Decimal(0), self.balance - burnt).quantize(_MICRO)


Snapshot: TypeAlias = ChatSnapshot | WalletSnapshot
SnapshotT_co = TypeVar("SnapshotT_co", bound=Snapshot, covariant=True)


class Reply(msgspec.Struct, Generic[SnapshotT_co], frozen=True):
    """The daemon's answer to a command."""

    id: str
    outcome: str
    message: str
    entry: str
    """The command's place in the queue; it happened at ``at``."""
    replayed: bool
    """The id was handled before, in an earlier attempt (of yours, or of the client's own after
    a lost connection); this entry had no effect, and ``outcome`` is that of the first."""
    snapshot: SnapshotT_co | None
    """The chat (or for ``top_up`` and ``adjust`` the wallet); None where there is none."""

    @property
    def at(self) -> int:
        """The millisecond at which the command happened."""
        return int(self.entry.partition("-")[0])

    @property
    def is_ok(self) -> bool:
        """Whether the command was accepted."""
        return self.outcome == OK


class Sent(msgspec.Struct, frozen=True):
    """A command that is in the queue, sent by ``enqueue``: nobody waits for its reply."""

    id: str
    """The idempotency key: send the command again with it to learn its outcome."""
    entry: str
    """The command's place in the queue."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened. ``id`` is its place in the stream: ``events(after=event.id)``."""

    id: str
    event: str
    """Such as ``chat.started`` or ``credits.low``."""
    at: int
    user_id: str
    chat_id: str | None = None
    seq: int
    reason: str | None = None
    threshold_ms: int | None = None


_read_chat: Final = msgspec.json.Decoder(ChatSnapshot).decode
_read_wallet: Final = msgspec.json.Decoder(WalletSnapshot).decode


class _Kind(msgspec.Struct):
    """What tells a chat's snapshot from a wallet's."""

    chat_id: str | None = None


_read_kind: Final = msgspec.json.Decoder(_Kind).decode


_SINCE_0_2: Final = {
    "free_scope": FREE_OF_CHAT,
    "increment_due": DUE_AT_BEGIN,
    "abandon_ms": 0,
    "max_ms": 0,
}
"""What a snapshot says that was written by version 0.1."""


def read_chat(raw: bytes) -> ChatSnapshot:
    """A chat's snapshot from its JSON."""
    try:
        snapshot = _read_chat(raw)
    except msgspec.ValidationError:
        written: dict[str, object] = msgspec.json.decode(raw)
        snapshot = msgspec.convert({**_SINCE_0_2, **written}, ChatSnapshot)
    # Of an imported chat nobody knows by which increments it was billed.
    return snapshot if snapshot.increment_ms else replace(snapshot, source=MIGRATED)


def read_wallet(raw: bytes) -> WalletSnapshot:
    """A wallet's snapshot from its JSON."""
    return _read_wallet(raw)


def read_reply(fields: Mapping[bytes, bytes]) -> Reply[Snapshot]:
    """A reply from the fields of its stream entry."""
    raw = fields.get(b"snapshot")
    return Reply(
        id=fields[b"id"].decode(),
        outcome=fields[b"outcome"].decode(),
        message=fields.get(b"message", b"").decode(),
        entry=fields[b"entry"].decode(),
        replayed=fields.get(b"replayed") == b"1",
        snapshot=_read_snapshot(raw) if raw else None,
    )


def read_event(entry: bytes, fields: Mapping[bytes, bytes]) -> Event:
    """An event from its stream entry; fields of later releases are left out."""
    text = {name.decode(): value.decode() for name, value in fields.items()}
    threshold_ms = text.get("threshold_ms")
    return Event(
        id=entry.decode(),
        event=text["event"],
        at=int(text["at"]),
        user_id=text["user_id"],
        chat_id=text.get("chat_id"),
        seq=int(text["seq"]),
        reason=text.get("reason"),
        threshold_ms=None if threshold_ms is None else int(threshold_ms),
    )


def _micro(amount: Decimal) -> int:
    return read_micro(f"{amount:.6f}")


def _read_snapshot(raw: bytes) -> Snapshot:
    return _read_wallet(raw) if _read_kind(raw).chat_id is None else read_chat(raw)
