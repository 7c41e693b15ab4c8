"""Where a list goes on: opaque to callers, and refused if it is not one of ours."""

import base64
import binascii
import json
from typing import Any, TypeVar

from daemon.gateway.problems import Problem, invalid

T = TypeVar("T")


def pack_cursor(*parts: str | int) -> str:
    """A cursor that stands for these parts."""
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


def unpack_cursor(cursor: str, *types: type) -> list[Any]:
    """The parts of a cursor, of these types. Raises Problem."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        parts = json.loads(raw)
    except (ValueError, binascii.Error, RecursionError):
        raise _foreign() from None
    if not isinstance(parts, list) or [type(part) for part in parts] != list(types):
        raise _foreign()
    return parts


def page_and_next(rows: list[T], limit: int) -> tuple[list[T], T | None]:
    """The page, and its last row if there is more: one row more than ``limit`` was asked for."""
    page = rows[:limit]
    return page, page[-1] if len(rows) > limit else None


def _foreign() -> Problem:
    return invalid("after", "not a cursor of this list; send `next` of the page before")
