"""What falls due, and at which exact millisecond (PROTOCOL 3, *Due changes*)."""

from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

from meterd.rules.model import RUNNING, SUSPENDED, Account, Policy


class DueKind(IntEnum):
    """Kinds of due changes, in the order that the contract sets for one millisecond."""

    WARNING = 0
    IDLE = 1
    EXHAUSTION = 2
    GRACE = 3
    ABANDONMENT = 4
    LIMIT = 5


class Due(NamedTuple):
    """A change that time alone brings. Tuples compare in the order the contract sets."""

    at_ms: int
    kind: DueKind
    chat_id: str


def next_due(account: Account, policy: Policy) -> Due | None:
    """The account's next due change, or None if time alone changes nothing.

    Never before the account's last change: a threshold or grace that the operator has set since
    can lie in the past, and what has happened stays in order.
    """
    return next(iter(next_dues(account, policy)), None)


def next_dues(account: Account, policy: Policy) -> list[Due]:
    """The next due changes, all of one kind and one millisecond, by ``chat_id``; [] if none."""
    dues = list(_all_due(account, policy))
    first = min(dues, default=None)
    if first is None:
        return []
    at = max(first.at_ms, account.as_of_ms)
    return sorted(due._replace(at_ms=at) for due in dues if due[:2] == first[:2])


def warning_level(left_ms: int | None, policy: Policy) -> int | None:
    """The tightest warning threshold that ``left_ms`` is under or at, if any."""
    if left_ms is None:
        return None
    return min((w for w in policy.warn_ms if w >= left_ms), default=None)


def _all_due(account: Account, policy: Policy) -> Iterator[Due]:
    if account.zero_at_ms is not None:
        yield Due(account.zero_at_ms, DueKind.EXHAUSTION, "")
        tighter = [
            w for w in policy.warn_ms if account.announced_ms is None or w < account.announced_ms
        ]
        if tighter:
            yield Due(account.zero_at_ms - max(tighter), DueKind.WARNING, "")
    for chat in account.chats.values():
        if chat.status == RUNNING and chat.idle_ms:
            yield Due(chat.alive_at_ms + chat.idle_ms, DueKind.IDLE, chat.chat_id)
        elif chat.status == SUSPENDED:
            yield Due(chat.since_ms + policy.grace_ms, DueKind.GRACE, chat.chat_id)
        if chat.abandon_ms:
            yield Due(chat.alive_at_ms + chat.abandon_ms, DueKind.ABANDONMENT, chat.chat_id)
        if chat.max_ms and chat.status == RUNNING:
            left_ms = max(0, chat.max_ms - chat.active_ms)
            yield Due(chat.since_ms + left_ms, DueKind.LIMIT, chat.chat_id)
