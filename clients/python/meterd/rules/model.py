"""What the fold works on: chats, accounts and the operator's policy, all immutable."""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

ChatStatus = Literal["running", "paused", "suspended", "ended", "not_started"]
AtZero = Literal["end", "suspend"]
"""What becomes of chats that burn when the credits end."""
PauseReason = Literal["command", "idle"]
FreeScope = Literal["chat", "advisor", "user"]
"""Which chats of a user share one allowance of free time."""
IncrementDue = Literal["begin", "end"]
"""When an increment is owed: as soon as it begins, or once it is complete."""
LedgerKind = Literal["top_up", "charge", "refund", "adjustment", "migrated"]
EventName = Literal[
    "chat.started",
    "chat.paused",
    "chat.resumed",
    "chat.rate_changed",
    "chat.suspended",
    "chat.ended",
    "chat.refunded",
    "wallet.topped_up",
    "wallet.adjusted",
    "credits.low",
    "credits.exhausted",
]

RUNNING: Final = "running"
PAUSED: Final = "paused"
SUSPENDED: Final = "suspended"
ENDED: Final = "ended"
NOT_STARTED: Final = "not_started"

LIVE: Final = "live"
MIGRATED: Final = "migrated"
LEGACY: Final = "legacy"
"""Sources of a chat: metered here, imported after it had ended elsewhere, or still in the system
before this one."""

AT_ZERO_END: Final = "end"
AT_ZERO_SUSPEND: Final = "suspend"

FREE_OF_CHAT: Final = "chat"
FREE_OF_ADVISOR: Final = "advisor"
FREE_OF_USER: Final = "user"

DUE_AT_BEGIN: Final = "begin"
DUE_AT_END: Final = "end"

BY_COMMAND: Final = "command"
BY_IDLE: Final = "idle"
CREDITS_EXHAUSTED: Final = "credits_exhausted"
ABANDONED: Final = "abandoned"
LIMIT_REACHED: Final = "limit_reached"

RULES_VERSION: Final = 2
"""The rules as they are. By those of version 0.1, which are 1, any rate could be set."""


class Tariff(NamedTuple):
    """What a chat costs and when time alone stops it (PROTOCOL 3, *Billed time*, *Idle*)."""

    rate_micro: int = 1_000_000
    """Micro-credits a minute."""
    free_ms: int = 0
    min_ms: int = 0
    increment_ms: int = 1
    idle_ms: int = 0
    """A running chat without a sign of life for so long is paused; 0: never."""
    free_scope: FreeScope = FREE_OF_CHAT
    increment_due: IncrementDue = DUE_AT_BEGIN
    abandon_ms: int = 0
    """An open chat without a sign of life for so long ends; 0: never."""
    max_ms: int = 0
    """A chat that has been active for so long ends; 0: never."""


class Policy(NamedTuple):
    """The operator's settings that the fold depends on."""

    tariff: Tariff = Tariff()
    at_zero: AtZero = AT_ZERO_END
    grace_ms: int = 120_000
    warn_ms: tuple[int, ...] = (300_000, 60_000, 30_000)
    open_chats_max: int = 100
    """Open chats of one account; 0: any number."""
    rules_version: int = RULES_VERSION


class Chat(NamedTuple):
    """One chat: its timer and its record. Open ones live in their account, ended ones alone."""

    chat_id: str
    user_id: str
    advisor_id: str
    status: ChatStatus
    started_at_ms: int
    since_ms: int
    """Up to here ``active_ms`` and ``owed`` are counted; of a suspended chat, when it was."""
    as_of_ms: int
    """When the chat last changed in a way that its snapshot shows."""
    alive_at_ms: int
    """The last sign of life."""
    rate_micro: int
    free_ms: int
    """Free time. Of a chat that shares a scope's: what it has used and, while it runs, what it
    will still get if nothing else changes."""
    min_ms: int
    increment_ms: int
    """Time is billed in whole steps of this; 0 of a chat that ended in another system, whose
    tariff nobody knows: it is what came, and can only be refunded."""
    idle_ms: int
    active_ms: int = 0
    owed_rate_ms: int = 0
    """Sum over billed milliseconds of the rate in force: micro-credits times 60 000."""
    carried_cost_micro: int = 0
    """Micro-credits an adopted chat had cost before; never charged here."""
    refunded_micro: int = 0
    ended_at_ms: int | None = None
    end_reason: str | None = None
    pause_reason: PauseReason | None = None
    seq: int = 1
    free_scope: FreeScope = FREE_OF_CHAT
    increment_due: IncrementDue = DUE_AT_BEGIN
    abandon_ms: int = 0
    max_ms: int = 0
    free_limit_ms: int = 0
    """Of a chat that shares a scope's free time: it gets none once the scope has used so much."""


def chat_at(chat_id: str, user_id: str, at: int) -> Chat:
    """Return a running chat in its first millisecond: without a tariff, nothing counted yet."""
    return Chat(
        chat_id=chat_id,
        user_id=user_id,
        advisor_id="",
        status=RUNNING,
        started_at_ms=at,
        since_ms=at,
        as_of_ms=at,
        alive_at_ms=at,
        rate_micro=0,
        free_ms=0,
        min_ms=0,
        increment_ms=1,
        idle_ms=0,
    )


class Account(NamedTuple):
    """One user's credits and open chats."""

    user_id: str
    settled_micro: int = 0
    """Top-ups + refunds + adjustments − what ended chats were charged, in micro-credits."""
    announced_ms: int | None = None
    """The warning threshold (ms) that the time left is under, if any."""
    zero_at_ms: int | None = None
    """Derived; kept because every reader wants it and finding it is the dearest step."""
    as_of_ms: int = 0
    seq: int = 0
    chats: Mapping[str, Chat] = {}  # never mutated: every change makes a new mapping
    free_used_ms: Mapping[str, int] = {}
    """Free time that each shared scope has used up to ``as_of_ms``, by ``free_time.scope_key``."""


class Event(NamedTuple):
    """Something that happened, as the events stream tells it."""

    event: EventName
    at_ms: int
    user_id: str
    chat_id: str | None
    seq: int
    reason: str | None = None
    threshold_ms: int | None = None


class LedgerEntry(NamedTuple):
    """A movement of credits; ``entry_id`` is derived from its cause, so it can't come twice."""

    entry_id: str
    user_id: str
    chat_id: str | None
    kind: LedgerKind
    amount_micro: int
    at_ms: int
    command_id: str | None
