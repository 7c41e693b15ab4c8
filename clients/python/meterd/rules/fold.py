"""The fold: one account, one command at a time, in stream order (PROTOCOL 1 and 3).

``apply`` brings about what fell due before the command's millisecond, then the command. It
never looks at a clock; lateness can't change its result.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from meterd.rules import events
from meterd.rules.billing import available, burns
from meterd.rules.commands import Command
from meterd.rules.deadlines import Due, DueKind, next_dues
from meterd.rules.exhaustion import Outlook
from meterd.rules.handlers import HANDLERS
from meterd.rules.model import (
    ABANDONED,
    AT_ZERO_SUSPEND,
    BY_IDLE,
    CREDITS_EXHAUSTED,
    LIMIT_REACHED,
    Account,
    Chat,
    Event,
    LedgerEntry,
    Policy,
)
from meterd.rules.outcomes import Outcome
from meterd.rules.transitions import Transition


class Decision(NamedTuple):
    """Everything that follows from one command."""

    account: Account
    outcome: Outcome
    events: list[Event]
    ledger: list[LedgerEntry]
    touched: dict[str, Chat]
    """Chats that changed, ended ones included, as they are now."""
    outlook: Outlook | None
    """Of the account at its last change, if there was one."""


_END_REASONS: Final[Mapping[DueKind, str]] = MappingProxyType(
    {
        DueKind.GRACE: CREDITS_EXHAUSTED,
        DueKind.ABANDONMENT: ABANDONED,
        DueKind.LIMIT: LIMIT_REACHED,
    }
)


def apply(
    account: Account,
    command: Command,
    policy: Policy,
    known: Chat | None = None,
    refuse: Outcome | None = None,
    inert: Outcome | None = None,
) -> Decision:
    """Apply ``command`` to the account of its user.

    Args:
        account: the account before the command.
        command: a valid command, not earlier than anything applied to the account.
        policy: the operator's settings.
        known: the chat that the command names where it is not open in this account: ended, or
            another user's.
        refuse: the outcome a ``start`` or ``adopt`` gets that could go ahead otherwise
            (``at_capacity``).
        inert: the outcome of a command that may not act itself (a repeated id); what fell due
            before it is applied all the same.
    """
    changes = Transition(account, policy)
    _advance(changes, command.at_ms)
    # A chat that ended just now, by what fell due, is what the command meets.
    known = changes.touched.get(command.chat_id, known)
    outcome = inert or HANDLERS[command.type](changes, command, known, refuse)
    return Decision(
        account=changes.account,
        outcome=outcome,
        events=changes.events,
        ledger=changes.ledger,
        touched=changes.touched,
        outlook=changes.outlook,
    )


def _advance(changes: Transition, before: int) -> None:
    # Time alone pauses, stops or ends each chat at most once each, and warns once a threshold in
    # between; a rule gone wrong must not go round for ever.
    chats, thresholds = len(changes.account.chats), len(changes.policy.warn_ms)
    for _ in range((3 * chats + 1) * (thresholds + 1) + 1):
        dues = next_dues(changes.account, changes.policy)
        if not dues or dues[0].at_ms >= before:
            return
        _bring_about(changes, dues)
    raise AssertionError("what falls due comes to an end")


def _bring_about(changes: Transition, dues: list[Due]) -> None:
    """Bring about changes of one kind and one millisecond.

    Only pauses and ends come several at once. They leave the account no poorer, so one closing
    is enough; each is numbered.
    """
    at, kind, _ = dues[0]
    if kind == DueKind.EXHAUSTION:
        _exhaust(changes, at)
    elif kind != DueKind.WARNING:  # a warning is announced with the closing below
        for due in dues:
            _stop(changes, changes.account.chats[due.chat_id], due)
    changes.number_changes(len(dues) - 1)
    changes.close(at)


def _stop(changes: Transition, chat: Chat, due: Due) -> None:
    if due.kind == DueKind.IDLE:
        changes.pause(chat, due.at_ms, BY_IDLE)
    else:
        changes.end(chat, due.at_ms, _END_REASONS[due.kind])


def _exhaust(changes: Transition, at: int) -> None:
    assert available(changes.account, at) >= 0, "zero_at is the last affordable millisecond"
    changes.wallet_event(events.CREDITS_EXHAUSTED, at)
    burning = sorted(c.chat_id for c in changes.account.chats.values() if burns(c, at))
    assert burning, "credits end because a chat burns"
    for chat_id in burning:
        chat = changes.account.chats[chat_id]
        if changes.policy.at_zero == AT_ZERO_SUSPEND:
            changes.suspend(chat, at)
        else:
            changes.end(chat, at, CREDITS_EXHAUSTED)
