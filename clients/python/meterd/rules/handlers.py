"""What each command does to its account, or why it can't (PROTOCOL 2, commands and errors)."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from meterd.rules import events, outcomes
from meterd.rules.billing import available, burns, cost
from meterd.rules.commands import Command
from meterd.rules.model import (
    BY_COMMAND,
    BY_IDLE,
    ENDED,
    PAUSED,
    RUNNING,
    SUSPENDED,
    Account,
    Chat,
    Policy,
)
from meterd.rules.outcomes import Outcome
from meterd.rules.transitions import Transition, resumed

Refusal = Outcome | None
"""The outcome of a start that could go ahead otherwise."""


def _start(changes: Transition, command: Command, known: Chat | None, refuse: Refusal) -> Outcome:
    account = changes.account
    other = account.chats.get(command.chat_id) or known
    if other is not None:
        return _refuse_start(account, other)
    chat = _new_chat(account, command, changes.policy)
    if not _can_run(account, chat, command.at_ms):
        return outcomes.INSUFFICIENT_CREDITS
    if refuse:
        return refuse
    changes.open(chat)
    changes.close(command.at_ms)
    return outcomes.OK


def _refuse_start(account: Account, other: Chat) -> Outcome:
    if other.user_id != account.user_id:
        return outcomes.USER_MISMATCH
    return outcomes.ALREADY_ENDED if other.status == ENDED else outcomes.ALREADY_STARTED


def _new_chat(account: Account, command: Command, policy: Policy) -> Chat:
    numbers, tariff = command.numbers, policy.tariff
    return Chat(
        chat_id=command.chat_id,
        user_id=account.user_id,  # the same object: there are many of these
        advisor_id=command.fields["advisor_id"],
        status=RUNNING,
        started_at_ms=numbers.get("started_at", command.at_ms),
        since_ms=command.at_ms,
        as_of_ms=command.at_ms,
        alive_at_ms=command.at_ms,
        rate_micro=numbers.get("rate", tariff.rate_micro),
        free_ms=numbers.get("free_ms", tariff.free_ms),
        min_ms=numbers.get("min_ms", tariff.min_ms),
        increment_ms=numbers.get("increment_ms", tariff.increment_ms),
        idle_ms=numbers.get("idle_ms", tariff.idle_ms),
        active_ms=numbers.get("carried_ms", 0),
        carried_cost_micro=numbers.get("carried_cost", 0),
    )


def _can_run(account: Account, chat: Chat, at: int) -> bool:
    """Whether the chat, running, burns nothing at once or its next millisecond can be paid."""
    if not burns(chat, at):
        return True
    joined = account._replace(chats={**account.chats, chat.chat_id: chat})
    return available(joined, at + 1) >= 0


def _pause(changes: Transition, command: Command, chat: Chat) -> Outcome:
    if chat.status != RUNNING:
        return outcomes.NOT_RUNNING
    changes.pause(chat, command.at_ms, BY_COMMAND)
    changes.close(command.at_ms)
    return outcomes.OK


def _resume(changes: Transition, command: Command, chat: Chat) -> Outcome:
    if chat.status not in (PAUSED, SUSPENDED):
        return outcomes.NOT_PAUSED
    if not _can_run(changes.account, resumed(chat, command.at_ms), command.at_ms):
        return outcomes.INSUFFICIENT_CREDITS
    changes.resume(chat, command.at_ms)
    changes.close(command.at_ms)
    return outcomes.OK


def _heartbeat(changes: Transition, command: Command, chat: Chat) -> Outcome:
    if chat.status == PAUSED and chat.pause_reason == BY_IDLE:
        return _resume(changes, command, chat)
    changes.alive(chat, command.at_ms)
    return outcomes.OK


def _set_rate(changes: Transition, command: Command, chat: Chat) -> Outcome:
    changes.set_rate(chat, command.at_ms, command.numbers["rate"])
    changes.close(command.at_ms)
    return outcomes.OK


def _end(changes: Transition, command: Command, chat: Chat) -> Outcome:
    reason = command.fields.get("reason", ENDED)
    changes.end(chat, command.at_ms, reason, command.id)
    changes.close(command.at_ms)
    return outcomes.OK


def _top_up(
    changes: Transition, command: Command, _known: Chat | None, _refuse: Refusal
) -> Outcome:
    amount = command.numbers["amount"]
    changes.credit("top_up", amount, command.at_ms, (command.entry, command.id, None))
    changes.wallet_event(events.WALLET_TOPPED_UP, command.at_ms)
    _resume_suspended(changes, command.at_ms)
    changes.close(command.at_ms)
    return outcomes.OK


def _refund(changes: Transition, command: Command, known: Chat | None, _refuse: Refusal) -> Outcome:
    if command.chat_id in changes.account.chats:
        return outcomes.NOT_ENDED
    if known is None:
        return outcomes.UNKNOWN_CHAT
    if known.user_id != changes.account.user_id:
        return outcomes.USER_MISMATCH
    amount = command.numbers["amount"]
    if known.refunded_micro + amount > cost(known, command.at_ms):
        return outcomes.EXCEEDS_COST
    changes.credit("refund", amount, command.at_ms, (command.entry, command.id, known.chat_id))
    changes.refunded(known, command.at_ms, amount)
    _resume_suspended(changes, command.at_ms)
    changes.close(command.at_ms)
    return outcomes.OK


def _resume_suspended(changes: Transition, at: int) -> None:
    waiting = sorted(k for k, c in changes.account.chats.items() if c.status == SUSPENDED)
    for chat_id in waiting:
        chat = changes.account.chats[chat_id]
        if _can_run(changes.account, resumed(chat, at), at):
            changes.resume(chat, at)


def _settle(
    _changes: Transition, _command: Command, _known: Chat | None, _refuse: Refusal
) -> Outcome:
    """Nothing by itself: what was due has been applied by now."""
    return outcomes.OK


_OnOpen = Callable[[Transition, Command, Chat], Outcome]
_Handler = Callable[[Transition, Command, Chat | None, Refusal], Outcome]


def _on_open(act: _OnOpen) -> _Handler:
    def handle(
        changes: Transition, command: Command, known: Chat | None, _refuse: Refusal
    ) -> Outcome:
        chat = changes.account.chats.get(command.chat_id)
        if chat is not None:
            return act(changes, command, chat)
        if known is None:
            return outcomes.UNKNOWN_CHAT
        if known.user_id != changes.account.user_id:
            return outcomes.USER_MISMATCH
        return outcomes.ALREADY_ENDED

    return handle


HANDLERS: Final[Mapping[str, _Handler]] = MappingProxyType(
    {
        "start": _start,
        "adopt": _start,
        "pause": _on_open(_pause),
        "resume": _on_open(_resume),
        "heartbeat": _on_open(_heartbeat),
        "set_rate": _on_open(_set_rate),
        "end": _on_open(_end),
        "top_up": _top_up,
        "refund": _refund,
        "settle": _settle,
    }
)
"""Command type → what it does; each returns the outcome."""
