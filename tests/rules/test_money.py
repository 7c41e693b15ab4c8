"""Credits as text and as integers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterd.rules.money import format_micro, parse_micro, read_micro


@given(st.integers(0, 10**15 - 1))
def test_what_is_written_is_read_back(amount_micro: int) -> None:
    """Every amount that a command can carry."""
    assert parse_micro(format_micro(amount_micro)) == amount_micro


@given(st.integers(-(10**21), 10**21))
def test_an_amount_is_written_with_six_places(amount_micro: int) -> None:
    """As PostgreSQL writes a numeric(20,6), of any size and sign."""
    text = format_micro(amount_micro)
    whole, _, fraction = text.removeprefix("-").partition(".")
    assert len(fraction) == 6
    assert (int(whole) * 10**6 + int(fraction)) * (-1 if text[0] == "-" else 1) == amount_micro
    assert whole == str(int(whole))
    assert read_micro(text) == amount_micro


@pytest.mark.parametrize(
    ("text", "amount_micro"),
    [
        ("0", 0),
        ("0.0", 0),
        ("1", 1_000_000),
        ("1.5", 1_500_000),
        ("0.000001", 1),
        ("0.100000", 100_000),
        ("007", 7_000_000),
        ("999999999.999999", 999_999_999_999_999),
    ],
)
def test_amounts(text: str, amount_micro: int) -> None:
    """Up to 9 digits, then optionally a point and up to 6."""
    assert parse_micro(text) == amount_micro


@pytest.mark.parametrize(
    "text",
    [
        "", ".", "1.", ".5", "-1", "+1", " 1", "1 ", "1\n", "1e3", "1_0", "1,5", "0x1", "NaN",
        "inf", "1234567890", "0000000001", "0.0000001", "1.1.1", "\u0661", "1.\u0665", "\u00b2",
        "1\x00",
    ],
)  # fmt: skip
def test_anything_else_is_no_amount(text: str) -> None:
    """No sign, no exponent, no space, no digit but 0 to 9, and no silent rounding."""
    with pytest.raises(ValueError, match="not a credit amount"):
        parse_micro(text)
