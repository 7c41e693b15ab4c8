"""Credits: decimals with at most 6 places outside, integer micro-credits inside (PROTOCOL 1)."""

import re

MICRO = 1_000_000
"""Micro-credits in a credit."""

MS_PER_MINUTE = 60_000
"""Milliseconds in a minute: rates are credits a minute."""

AMOUNT = re.compile(r"([0-9]{1,9})(?:\.([0-9]{1,6}))?")
"""Credits as they are sent."""


def parse_micro(text: str) -> int:
    """Read a decimal credit amount as micro-credits.

    Raises:
        ValueError: not up to 9 digits, then optionally a point and up to 6 digits.
    """
    match = AMOUNT.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a credit amount")
    return int(match[1]) * MICRO + int((match[2] or "").ljust(6, "0"))


def read_micro(text: str) -> int:
    """Read back what ``format_micro`` wrote: any size and sign, exactly 6 places."""
    return int(text.replace(".", ""))


def format_micro(amount_micro: int) -> str:
    """Write micro-credits as a decimal string with exactly 6 places, e.g. ``-0.016833``."""
    whole, fraction = divmod(abs(amount_micro), MICRO)
    return f"{'-' if amount_micro < 0 else ''}{whole}.{fraction:06d}"
