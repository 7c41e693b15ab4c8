"""The rows as integers: what travels to the writer and what the reader gives back.

No database library is imported here, so that whoever fills the outbox needs none either. Credits
are integer micro-credits, times integer milliseconds. Plain tuples: any codec can carry them.
"""

from typing import Any, NamedTuple

from msgspec import Raw

from meterd.rules.model import (
    DUE_AT_BEGIN,
    FREE_OF_CHAT,
    ChatStatus,
    FreeScope,
    IncrementDue,
    PauseReason,
)


class RecordRow(NamedTuple):
    """One chat's record, as of its change number ``seq``."""

    chat_id: str
    user_id: str
    advisor_id: str
    status: ChatStatus
    started_at_ms: int
    ended_at_ms: int | None
    end_reason: str | None
    pause_reason: PauseReason | None
    active_ms: int
    paused_ms: int
    billed_ms: int
    rate_micro: int
    cost_micro: int
    refunded_micro: int
    carried_cost_micro: int
    free_ms: int
    min_ms: int
    increment_ms: int
    idle_ms: int
    source: str
    seq: int
    updated_at_ms: int
    # Version 0.1 left rows without these in the outbox.
    free_scope: FreeScope = FREE_OF_CHAT
    increment_due: IncrementDue = DUE_AT_BEGIN
    abandon_ms: int = 0
    max_ms: int = 0


class FreeTimeRow(NamedTuple):
    """Free time that a scope of a user had used in another system, as an opening entry has it."""

    user_id: str
    number: int
    scope: str
    used_ms: int
    at_ms: int


class LedgerRow(NamedTuple):
    """One movement of an account's credits; ``amount_micro`` is negative for a charge."""

    entry_id: str
    user_id: str
    chat_id: str | None
    kind: str
    amount_micro: int
    at_ms: int
    command_id: str | None


class JournalRow(NamedTuple):
    """One command or ``settle`` of the stream, and what came of it under which policy."""

    stream_id: str
    user_id: str | None
    chat_id: str | None
    fields: dict[str, Any]
    outcome: str
    replayed: bool
    policy_id: str


class StoredJournalRow(NamedTuple):
    """A ``JournalRow`` as the outbox has it: its fields stay JSON, as they are stored."""

    stream_id: str
    user_id: str | None
    chat_id: str | None
    fields: Raw
    outcome: str
    replayed: bool
    policy_id: str


class OperationRow(NamedTuple):
    """What an operator decided: ``operation_id`` names it, so that it can't come twice."""

    operation_id: str
    at_ms: int
    done_by: str
    operation: str
    subject: str
    details: dict[str, Any]
