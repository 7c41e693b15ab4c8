"""A moment as an operator types it: milliseconds since 1970, or a time with its zone."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

_MS: Final = re.compile(r"[0-9]{1,15}")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FORMS: Final = "say milliseconds since 1970, or a time with its zone, such as 2026-11-20T10:45:00Z"


def parse_moment(text: str) -> int:
    """Give milliseconds since 1970.

    Raises:
        ValueError: it is neither, or has no zone; the message says what would do.
    """
    if _MS.fullmatch(text):
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no moment: {_FORMS}") from None
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no zone: {_FORMS}")
    ms = (moment - _EPOCH) // timedelta(milliseconds=1)
    if ms < 0:
        raise ValueError(f"{text!r} is before 1970: {_FORMS}")
    return ms
