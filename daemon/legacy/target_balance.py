"""What an account is to be opened with, given the old balance: a plain function."""

from decimal import ROUND_FLOOR, Decimal
from typing import Final, NamedTuple

from daemon.legacy.rules.rows import AMOUNT_MAX, BAD_USER_ID
from daemon.legacy.store.decimals import EXACT, exact_credits
from daemon.legacy.store.reader import OldBalance
from meterd.rules.commands import is_identifier

IN_USE: Final = "account_in_use"
NEGATIVE: Final = "negative_balance"
OUT_OF_RANGE: Final = "balance_out_of_range"
UNREADABLE: Final = "unreadable_balance"
SEVERAL: Final = "several_balances"
REASONS: Final = (UNREADABLE, SEVERAL, NEGATIVE, OUT_OF_RANGE, BAD_USER_ID, IN_USE)
"""Why a balance is set aside."""


class TargetBalance(NamedTuple):
    """What a user's account is to be opened with."""

    user_id: str
    balance: Decimal
    target_micro: int
    unflushed_micro: int
    remainder: Decimal
    free_used: tuple[tuple[str, int], ...] = ()
    """Milliseconds of free time used, by scope."""


def target_balance_of(
    one: OldBalance, unflushed_micro: int, *, do_add_up: bool
) -> TargetBalance | tuple[str, Decimal, str]:
    """What the user's account is to be opened with; or the user, the balance and why it is not.

    Args:
        one: what the old system has.
        unflushed_micro: what of it pays for time that is adopted.
        do_add_up: whether several balances of one user add up.
    """
    if one.balance_micro is None:
        return one.user_id, Decimal(0), UNREADABLE
    balance = exact_credits(one.balance_micro, one.remainder_micro)
    whole, remainder = _floor(one.balance_micro, one.remainder_micro)
    if not is_identifier(one.user_id):
        return one.user_id, balance, BAD_USER_ID
    if one.rows > 1 and not do_add_up:
        return one.user_id, balance, SEVERAL
    if whole < 0:
        return one.user_id, balance, NEGATIVE
    if whole > AMOUNT_MAX:
        return one.user_id, balance, OUT_OF_RANGE
    paid = min(unflushed_micro, whole)
    return TargetBalance(
        user_id=one.user_id,
        balance=balance,
        target_micro=whole - paid,
        unflushed_micro=paid,
        remainder=exact_credits(0, remainder),
    )


def _floor(micro: int, remainder: Decimal) -> tuple[int, Decimal]:
    """Rounded down, whatever it was rounded to before."""
    down = int(remainder.to_integral_value(ROUND_FLOOR))
    return micro + down, EXACT.subtract(remainder, down)
