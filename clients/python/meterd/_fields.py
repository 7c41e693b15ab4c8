"""From arguments to the fields of a stream entry, refused here with the daemon's own words."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final, TypeAlias

from meterd._errors import InvalidCommandError
from meterd.rules.commands import InvalidCommand, parse_entry
from meterd.rules.field_formats import CREDIT_FIELDS, FLAG_FIELDS, TIME_FIELDS

Amount: TypeAlias = str | Decimal | int
"""Credits, exactly: ``"12.5"``, ``Decimal("12.5")`` or ``12``. Never a float."""

# Later than any command can be: what a time is compared with is the queue's clock, not ours.
_FAR: Final = f"{10**16}-0"


def flat_fields(fields: Mapping[str, object]) -> list[bytes]:
    """Names and values in turn as they are sent; those that are None are left out.

    Raises:
        TypeError: a value of a wrong type, such as a float for credits.
        InvalidCommandError: what the daemon would refuse as ``invalid_command``.
    """
    flat = [
        part
        for name, value in fields.items()
        if value is not None
        for part in (name.encode(), _raw(_text(name, value)))
    ]
    parsed = parse_entry(_FAR, flat)
    if isinstance(parsed, InvalidCommand):
        raise InvalidCommandError(parsed.reason, parsed.id)
    return flat


def is_identifier(name: str, value: str) -> bool:
    """Whether a chat or a user can be called so."""
    if not isinstance(value, str):
        raise TypeError(f"{name}: send a str, not {type(value).__name__}")
    shape = [b"type", b"heartbeat", b"id", b"-", b"chat_id", _raw(value)]
    return not isinstance(parse_entry(_FAR, shape), InvalidCommand)


def _text(name: str, value: object) -> str:
    if name in CREDIT_FIELDS:
        return _credits(name, value)
    if name in TIME_FIELDS:
        return _milliseconds(name, value)
    if name in FLAG_FIELDS:
        return _flag(name, value)
    if not isinstance(value, str):
        raise TypeError(f"{name}: send a str, not {type(value).__name__}")
    return value


def _credits(name: str, value: object) -> str:
    if isinstance(value, float):
        raise TypeError(
            f"{name}: a float is not exact; send '{value}' or Decimal('{value}') instead of {value}"
        )
    if isinstance(value, bool) or not isinstance(value, str | Decimal | int):
        raise TypeError(f"{name}: send a str, Decimal or int, not {type(value).__name__}")
    return _plain(value) if isinstance(value, Decimal) else str(value)


def _plain(value: Decimal) -> str:
    """Without exponent and trailing zeros, so that equal values are equal content for an id."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _milliseconds(name: str, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name}: send milliseconds as an int, not {type(value).__name__}")
    return str(value)


def _flag(name: str, value: object) -> str:
    if not isinstance(value, int | str):
        raise TypeError(f"{name}: send a bool, not {type(value).__name__}")
    return str(int(value)) if isinstance(value, bool) else str(value)


def _raw(text: str) -> bytes:
    """As bytes; half a surrogate pair gets through to be refused as what it is."""
    return text.encode(errors="surrogatepass")
