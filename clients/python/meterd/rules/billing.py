"""Accrual: how long a chat was active, what of it is billed, what it owes (PROTOCOL 3)."""

from meterd.rules.model import DUE_AT_END, RUNNING, Account, Chat
from meterd.rules.money import MS_PER_MINUTE


def billed_ms(chat: Chat, active_ms: int) -> int:
    """Billed time of an active time: free time, minimum and increments that are owed."""
    if chat.increment_due == DUE_AT_END:
        counted_ms = active_ms - chat.free_ms
        complete_ms = counted_ms // chat.increment_ms * chat.increment_ms
        return max(chat.min_ms, complete_ms) if counted_ms > 0 else 0
    return begun_ms(chat, active_ms)


def begun_ms(chat: Chat, active_ms: int) -> int:
    """Billed time of an active time with the increment that has begun counted whole."""
    if not chat.increment_ms:  # it came from another system, and has ended there
        return active_ms
    counted_ms = active_ms - chat.free_ms
    if counted_ms <= 0:
        return 0
    whole_ms = -(-counted_ms // chat.increment_ms) * chat.increment_ms
    return max(chat.min_ms, whole_ms)


def active_ms(chat: Chat, at: int) -> int:
    """Time running up to ``at``, which is not before the chat's last change."""
    return chat.active_ms + (at - chat.since_ms if chat.status == RUNNING else 0)


def is_linear(chat: Chat) -> bool:
    """Whether each further millisecond that the chat runs is billed as it passes.

    Nothing of it is free any more, and no minimum and no increment is ahead of its time.
    """
    return chat.increment_ms == 1 and chat.active_ms - chat.free_ms >= chat.min_ms


def owed(chat: Chat, at: int) -> int:
    """What the chat owes at ``at``, in micro-credits times 60 000: exact, not rounded."""
    if chat.status != RUNNING or chat.rate_micro == 0 or at == chat.since_ms:
        return chat.owed_rate_ms
    # As ``is_linear``, without a call: an account may have a hundred of these.
    if chat.increment_ms == 1 and chat.active_ms - chat.free_ms >= chat.min_ms:
        return chat.owed_rate_ms + (at - chat.since_ms) * chat.rate_micro
    grown_ms = billed_ms(chat, active_ms(chat, at)) - billed_ms(chat, chat.active_ms)
    return chat.owed_rate_ms + grown_ms * chat.rate_micro


def owed_whole(chat: Chat, at: int) -> int:
    """Like ``owed``, with the increment that a running chat is in counted whole."""
    if chat.status != RUNNING or chat.rate_micro == 0:
        return chat.owed_rate_ms
    if chat.increment_ms == 1 and chat.active_ms - chat.free_ms >= chat.min_ms:  # ``is_linear``
        return chat.owed_rate_ms + (at - chat.since_ms) * chat.rate_micro
    grown_ms = begun_ms(chat, active_ms(chat, at)) - billed_ms(chat, chat.active_ms)
    return chat.owed_rate_ms + grown_ms * chat.rate_micro


def charge(chat: Chat, at: int) -> int:
    """What the account pays for the chat up to ``at``: micro-credits, rounded down once."""
    return owed(chat, at) // MS_PER_MINUTE


def cost(chat: Chat, at: int) -> int:
    """The record's cost at ``at``: what is charged here and what the chat carried."""
    return chat.carried_cost_micro + charge(chat, at)


def paused_ms(chat: Chat, at: int) -> int:
    """All time up to ``at`` (or to the end) that was not active."""
    end = chat.ended_at_ms if chat.ended_at_ms is not None else at
    return end - chat.started_at_ms - active_ms(chat, at)


def burns(chat: Chat, at: int) -> bool:
    """Whether the chat's next millisecond costs."""
    if chat.status != RUNNING or chat.rate_micro == 0:
        return False
    if is_linear(chat):
        return True
    now_ms = active_ms(chat, at)
    return billed_ms(chat, now_ms + 1) > billed_ms(chat, now_ms)


def available(account: Account, at: int) -> int:
    """All credits that came − the cost of every chat, open ones at ``at``, in micro-credits."""
    left = account.settled_micro
    for chat in account.chats.values():
        left -= owed(chat, at) // MS_PER_MINUTE
    return left


def burn_rate(account: Account, at: int) -> int:
    """The sum of the rates of the chats that burn at ``at``: micro-credits a minute."""
    return sum(chat.rate_micro for chat in account.chats.values() if burns(chat, at))
