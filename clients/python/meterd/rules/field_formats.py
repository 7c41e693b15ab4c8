"""What the text of each field looks like (PROTOCOL 2): to check it, and to describe it."""

import re
from typing import Final, NamedTuple

from meterd.rules.money import AMOUNT as DECIMAL


class FieldFormat(NamedTuple):
    """The form of a value."""

    pattern: re.Pattern[str]
    """All of the text has to match it."""
    is_above_0: bool = False
    """Whether the number that it writes, without its sign, must be more than 0."""


IDENTIFIER: Final = FieldFormat(re.compile(r"[A-Za-z0-9_.:@/+=-]{1,128}"))
NAME: Final = FieldFormat(re.compile(r"[A-Za-z0-9_.:@/+=-]{1,64}"))
CREDITS: Final = FieldFormat(DECIMAL)
AMOUNT: Final = FieldFormat(DECIMAL, is_above_0=True)
DURATION: Final = FieldFormat(re.compile(r"[0-9]{1,12}"))
INCREMENT: Final = FieldFormat(DURATION.pattern, is_above_0=True)
SIGNED_AMOUNT: Final = FieldFormat(re.compile(f"-?{DECIMAL.pattern}"), is_above_0=True)
FREE_SCOPE: Final = FieldFormat(re.compile(r"(?:chat|advisor|user)"))
INCREMENT_DUE: Final = FieldFormat(re.compile(r"(?:begin|end)"))
FLAG: Final = FieldFormat(re.compile(r"(?:0|1)"))
TIMESTAMP: Final = FieldFormat(re.compile(r"[0-9]{1,15}"))

FIELD_FORMATS: Final[dict[str, FieldFormat]] = {
    "id": IDENTIFIER,
    "chat_id": IDENTIFIER,
    "user_id": IDENTIFIER,
    "advisor_id": IDENTIFIER,
    "reply_to": NAME,
    "reason": NAME,
    "rate": CREDITS,
    "carried_cost": CREDITS,
    "amount": AMOUNT,
    "free_ms": DURATION,
    "min_ms": DURATION,
    "idle_ms": DURATION,
    "abandon_ms": DURATION,
    "max_ms": DURATION,
    "carried_ms": DURATION,
    "carried_free_ms": DURATION,
    "free_scope": FREE_SCOPE,
    "increment_due": INCREMENT_DUE,
    "partial": FLAG,
    "increment_ms": INCREMENT,
    "started_at": TIMESTAMP,
}
"""Every field that a command may have besides ``type``, with its form."""


def _fields_of(*forms: FieldFormat) -> frozenset[str]:
    return frozenset(name for name, form in FIELD_FORMATS.items() if form in forms)


CREDIT_FIELDS: Final = _fields_of(CREDITS, AMOUNT)
TIME_FIELDS: Final = _fields_of(DURATION, INCREMENT, TIMESTAMP)
FLAG_FIELDS: Final = _fields_of(FLAG)

FORMATS_OF_TYPE: Final[dict[tuple[str, str], FieldFormat]] = {("adjust", "amount"): SIGNED_AMOUNT}
"""The form of a field where it is another one in commands of a type."""


def format_of(command_type: str, name: str) -> FieldFormat:
    """Return the form of a field in commands of a type."""
    return FORMATS_OF_TYPE.get((command_type, name), FIELD_FORMATS[name])
