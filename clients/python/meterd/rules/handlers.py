"""What each command does to its account, or why it can't (PROTOCOL 2, commands and errors)."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, cast

from meterd.rules import events, free_time, outcomes
from meterd.rules.billing import available, charge, cost, owed, owed_whole
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
    FreeScope,
    IncrementDue,
    Policy,
)
from meterd.rules.money import MS_PER_MINUTE
from meterd.rules.outcomes import Outcome
from meterd.rules.transitions import Transition, accrued, resumed

Refusal = Outcome | None
"""The outcome of a start that could go ahead otherwise."""


def _start(changes: Transition, command: Command, known: Chat | None, refuse: Refusal) -> Outcome:
    account = changes.account
    other = account.chats.get(command.chat_id) or known
    if other is not None:
        return _refuse_start(account, other)
    most = changes.policy.open_chats_max
    if refuse or (most and len(account.chats) >= most):
        return refuse or outcomes.AT_CAPACITY
    chat = _new_chat(account, command, changes.policy)
    changes.use_free_time(chat)
    if not _can_pay(changes, chat, command.at_ms):
        return outcomes.INSUFFICIENT_CREDITS
    changes.open(chat)
    changes.close(command.at_ms)
    return outcomes.OK


def _refuse_start(account: Account, other: Chat) -> Outcome:
    if other.user_id != account.user_id:
        return outcomes.USER_MISMATCH
    return outcomes.ALREADY_ENDED if other.status == ENDED else outcomes.ALREADY_STARTED


def _new_chat(account: Account, command: Command, policy: Policy) -> Chat:
    fields, numbers, tariff = command.fields, command.numbers, policy.tariff
    chat = Chat(
        chat_id=command.chat_id,
        user_id=account.user_id,  # the same object: there are many of these
        advisor_id=fields["advisor_id"],
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
        free_scope=cast("FreeScope", fields.get("free_scope", tariff.free_scope)),
        increment_due=cast("IncrementDue", fields.get("increment_due", tariff.increment_due)),
        abandon_ms=numbers.get("abandon_ms", tariff.abandon_ms),
        max_ms=numbers.get("max_ms", tariff.max_ms),
    )
    carried_ms, limit_ms = chat.active_ms, chat.free_ms
    used_ms = numbers.get("carried_free_ms", min(carried_ms, limit_ms))
    if free_time.shares(chat):
        return chat._replace(free_ms=used_ms, free_limit_ms=limit_ms)
    # Who has paid for time in the other system has no free time any more.
    return chat._replace(free_ms=used_ms if used_ms < carried_ms else max(used_ms, limit_ms))


def _can_pay(changes: Transition, chat: Chat, at: int) -> bool:
    """Whether the account can pay for a chat of it that would run from ``at`` on.

    A chat that owes something in the next millisecond needs credits for all that the account owes
    by then, the increments that running chats are in counted whole.
    """
    joined = changes.account._replace(chats={**changes.account.chats, chat.chat_id: chat})
    joined = free_time.allotted(joined, changes.free_used_ms(at), at)
    if not _owes_more(joined.chats[chat.chat_id], at):
        return True
    return _left_if_whole(joined, at + 1) >= 0


def _owes_more(chat: Chat, at: int) -> bool:
    return owed_whole(chat, at + 1) > owed(chat, at)


def _left_if_whole(account: Account, at: int) -> int:
    """Available credits at ``at`` with begun increments counted whole, in micro-credits."""
    owed_micro = (owed_whole(chat, at) // MS_PER_MINUTE for chat in account.chats.values())
    return account.settled_micro - sum(owed_micro)


def _pause(changes: Transition, command: Command, chat: Chat) -> Outcome:
    if chat.status != RUNNING:
        return outcomes.NOT_RUNNING
    changes.pause(chat, command.at_ms, BY_COMMAND)
    changes.close(command.at_ms)
    return outcomes.OK


def _resume(changes: Transition, command: Command, chat: Chat) -> Outcome:
    if chat.status not in (PAUSED, SUSPENDED):
        return outcomes.NOT_PAUSED
    if not _can_pay(changes, resumed(chat, command.at_ms), command.at_ms):
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
    at, rate_micro = command.at_ms, command.numbers["rate"]
    if changes.policy.rules_version > 1 and chat.status == RUNNING:
        changed = accrued(chat, at)._replace(rate_micro=rate_micro)
        if not _can_pay(changes, changed, at):
            return outcomes.INSUFFICIENT_CREDITS
    changes.set_rate(chat, at, rate_micro)
    changes.close(at)
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


def _adjust(
    changes: Transition, command: Command, _known: Chat | None, _refuse: Refusal
) -> Outcome:
    there = available(changes.account, command.at_ms)
    amount = max(command.numbers["amount"], -there)
    if amount != command.numbers["amount"] and command.fields.get("partial") != "1":
        return outcomes.INSUFFICIENT_CREDITS
    if amount == 0:
        return outcomes.OK
    changes.credit("adjustment", amount, command.at_ms, (command.entry, command.id, None))
    changes.wallet_event(events.WALLET_ADJUSTED, command.at_ms)
    if amount > 0:
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
    if not waiting:
        return
    used = changes.free_used_ms(at)
    left = _left_if_whole(changes.account, at + 1)
    for chat_id in waiting:
        chat = changes.account.chats[chat_id]
        running = resumed(chat, at)
        if free_time.may_share(chat, used):  # rare: it stopped as another one used up the scope
            if _can_pay(changes, running, at):
                changes.resume(chat, at)
                left = _left_if_whole(free_time.allotted(changes.account, used, at), at + 1)
            continue
        after = left + charge(chat, at) - owed_whole(running, at + 1) // MS_PER_MINUTE
        if after >= 0 or not _owes_more(running, at):
            changes.resume(chat, at)
            left = after


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
        "adjust": _adjust,
        "settle": _settle,
    }
)
"""Command type → what it does; each returns the outcome."""
