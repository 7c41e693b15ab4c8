"""Which JSON values a field of a command may have, in the words of JSON."""

from typing import Any, Final

from meterd.rules.field_formats import CREDIT_FIELDS, FLAG_FIELDS, TIME_FIELDS

_KINDS: Final[dict[type, str]] = {
    bool: "true or false",
    int: "a number",
    float: "a number with a fraction",
    list: "an array",
    dict: "an object",
}


def value_fault(name: str, value: Any) -> str | None:
    """What to send in place of a value of a wrong type; None if the type is right.

    Whether the text or number is one that the field may have, the rules of commands say.
    """
    if name in CREDIT_FIELDS:
        return credits_fault(value)
    if name in TIME_FIELDS:
        return None if _is_whole(value) else "send a whole number of milliseconds"
    if name in FLAG_FIELDS:
        return None if isinstance(value, bool | int | str) else "send true or false"
    return None if isinstance(value, str) else f"send a string, not {_kind(value)}"


def credits_fault(value: Any) -> str | None:
    """The same for credits: a number with a fraction may have been rounded already."""
    if isinstance(value, float):
        text = repr(value)
        sent = f'"{text}"' if "e" not in text else "it"
        return f"send {sent} as a string: a JSON number with a fraction may not be exact"
    if _is_whole(value) or isinstance(value, str):
        return None
    return f"send a string or a whole number, not {_kind(value)}"


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _kind(value: Any) -> str:
    return _KINDS.get(type(value), "null")
