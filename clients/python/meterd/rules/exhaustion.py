"""When an account's credits are used up, jointly over all its running chats (PROTOCOL 3).

``available`` falls and never rises while nothing else happens, so its last non-negative
millisecond is where two closed forms meet: one that never bills more than the chats do and one
that never bills less. For one linear chat (no free time, no minimum, increments of 1 ms) they
meet in one millisecond and there is nothing left to search. Several chats, each rounded down on
its own, leave a window of at most one micro-credit a chat; increments and minimums leave their
own length. That window alone is bisected.
"""

from typing import NamedTuple

from meterd.rules.billing import active_ms, available, billed_ms, burns, owed
from meterd.rules.model import DUE_AT_END, RUNNING, Account, Chat
from meterd.rules.money import MS_PER_MINUTE


class Outlook(NamedTuple):
    """What an account has at a millisecond, and for how long if nothing else happens."""

    zero_at_ms: int | None
    """The last millisecond with ``available`` ≥ 0; None if nothing ever burns."""
    available_micro: int
    burn_rate_micro: int
    """A minute, of the chats that burn at the millisecond."""


def zero_at(account: Account, at: int) -> int | None:
    """The last millisecond ≥ ``at`` with ``available`` ≥ 0; None if nothing ever burns.

    Raises:
        AssertionError: ``available(account, at)`` is negative.
    """
    return outlook(account, at).zero_at_ms


def outlook(account: Account, at: int) -> Outlook:
    """Find all of it in one pass over the chats: an account may have a hundred.

    Raises:
        AssertionError: ``available(account, at)`` is negative.
    """
    paid = credit = account.settled_micro * MS_PER_MINUTE
    burning = rate = burn_rate = ahead = jump = 0
    for chat in account.chats.values():
        rate_micro = chat.rate_micro
        if chat.status != RUNNING or not rate_micro:  # costs nothing more, now or later
            whole = chat.owed_rate_ms - chat.owed_rate_ms % MS_PER_MINUTE
            paid -= whole
            credit -= whole
            continue
        # As ``is_linear`` and ``owed``, without a call.
        if chat.increment_ms == 1 and chat.active_ms - chat.free_ms >= chat.min_ms:
            debt = chat.owed_rate_ms + (at - chat.since_ms) * rate_micro
            burn_rate += rate_micro
        else:
            debt = owed(chat, at)
            burn_rate += rate_micro if burns(chat, at) else 0
            ahead_ms, jump_ms_max = _off_the_line(chat, at)
            ahead += rate_micro * ahead_ms
            jump += rate_micro * jump_ms_max
        burning += 1
        rate += rate_micro
        credit -= debt
        paid -= debt - debt % MS_PER_MINUTE
    assert paid >= 0, "an account is never negative"
    left_micro = paid // MS_PER_MINUTE
    if not burning:
        return Outlook(None, left_micro, 0)
    # From ``at`` on, so many milliseconds can certainly be paid, and so many certainly cannot.
    affordable = max(0, (credit - jump) // rate)
    beyond = max(1, -(-(credit + burning * MS_PER_MINUTE + ahead) // rate))
    last = beyond - 1
    if last > affordable and available(account, at + last) < 0:
        last = _bisect(account, at, affordable, last)
    return Outlook(at + last, left_micro, burn_rate)


def _off_the_line(chat: Chat, at: int) -> tuple[int, int]:
    """How far billed time is ahead of active time, and how far it can get ahead from ``at`` on.

    Ahead by minimum and increment; behind, which is negative, by free time not used yet. An
    increment that is owed once it is complete lets billed time fall behind by as much.
    """
    now_ms = active_ms(chat, at)
    billed, counted_ms = billed_ms(chat, now_ms), now_ms - chat.free_ms
    step_ms = chat.increment_ms - 1
    if chat.increment_due == DUE_AT_END:  # a step behind instead of a step ahead
        return billed - counted_ms + step_ms, max(0, max(chat.min_ms, counted_ms) - billed)
    return billed - counted_ms, max(0, max(chat.min_ms, counted_ms + step_ms) - billed)


def _bisect(account: Account, at: int, affordable: int, beyond: int) -> int:
    while beyond - affordable > 1:
        middle = (affordable + beyond) // 2
        if available(account, at + middle) >= 0:
            affordable = middle
        else:
            beyond = middle
    return affordable
