"""Old amounts to the last digit: nothing is rounded but what the rules round."""

from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Final

EXACT: Final = Context(prec=200_000, rounding=ROUND_HALF_EVEN)
"""As many digits as a numeric of PostgreSQL can have: absurd amounts are reckoned with as well."""
MICRO_DIGITS: Final = 6


def credits_of(micro_credits: Decimal) -> Decimal:
    """Credits, exactly."""
    return micro_credits.scaleb(-MICRO_DIGITS, EXACT)


def exact_credits(balance_micro: int, residue_micro: Decimal) -> Decimal:
    """Credits out of whole micro-credits and what is less than one."""
    return credits_of(EXACT.add(Decimal(balance_micro), residue_micro))


def total(*amounts: Decimal) -> Decimal:
    """The sum, exactly."""
    amount = Decimal(0)
    for one in amounts:
        amount = EXACT.add(amount, one)
    return amount
