"""Where a list goes on: opaque to callers, and refused if it is not one of ours."""

import base64
import binascii
import json
from typing import Any, Final, TypeVar

from daemon.gateway.dead_letter_lists import read_name
from daemon.gateway.errors import ProblemError, invalid
from meterd.rules.commands import entry_key
from persistence.postgres.convert import check_moments, check_texts
from persistence.postgres.pages import PagePosition
from persistence.postgres.search import STAGES, SearchPosition

T = TypeVar("T")

NUMBER_MAX: Final = 10**9
"""How far into a list that is counted, not found by its places."""

_FIGURE_END = 10**30


def pack_cursor(*parts: str | int) -> str:
    """A cursor that stands for these parts."""
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


def unpack_cursor(cursor: str, *types: type) -> list[Any]:
    """The parts of a cursor, of these types. Raises ProblemError."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        parts = json.loads(raw)
    except (ValueError, binascii.Error, RecursionError):
        raise _foreign() from None
    if not isinstance(parts, list) or [type(part) for part in parts] != list(types):
        raise _foreign()
    return parts


def unpack_place(cursor: str) -> PagePosition:
    """A place in a list out of PostgreSQL. Raises ProblemError."""
    place = PagePosition(*unpack_cursor(cursor, int, str))
    try:
        check_moments((place.at_ms,))
        check_texts((place.name,))
    except ValueError:
        raise _foreign() from None
    return place


def unpack_search(cursor: str) -> SearchPosition:
    """A place in what a search finds. Raises ProblemError."""
    stage, at_ms, name = unpack_cursor(cursor, int, int, str)
    if not 0 <= stage < len(STAGES):
        raise _foreign()
    return SearchPosition(stage, unpack_place(pack_cursor(at_ms, name)))


def unpack_sorted(cursor: str, by: str) -> tuple[int, int, str]:
    """A place in a list in order of a figure: as of which moment, which figure, which chat.

    Raises:
        ProblemError: it is none, or one of a list in order of another figure.
    """
    sorted_by, now_ms, value, name = unpack_cursor(cursor, str, int, int, str)
    try:
        check_moments((now_ms,))
        check_texts((name,))
    except ValueError:
        raise _foreign() from None
    if sorted_by != by or not 0 <= value < _FIGURE_END:
        raise _foreign()
    return now_ms, value, name


def unpack_key(cursor: str) -> str:
    """The name of the last line of a list in order of names. Raises ProblemError."""
    key: str = unpack_cursor(cursor, str)[0]
    try:
        check_texts((key,))
    except ValueError:
        raise _foreign() from None
    return key


def unpack_number(cursor: str) -> int:
    """How much of a list has been told. Raises ProblemError."""
    number: int = unpack_cursor(cursor, int)[0]
    if not 0 <= number <= NUMBER_MAX:
        raise _foreign()
    return number


def unpack_letter(cursor: str, partitions: int) -> tuple[int, str]:
    """Partition and ID of a dead letter that others can come before. Raises ProblemError."""
    name: str = unpack_cursor(cursor, str)[0]
    place = read_name(name, partitions)
    if place is None or not max(entry_key(place[1])):
        raise _foreign()
    return place


def page_and_next(rows: list[T], limit: int) -> tuple[list[T], T | None]:
    """The page, and its last row if there is more: one row more than ``limit`` was asked for."""
    page = rows[:limit]
    return page, page[-1] if len(rows) > limit else None


def _foreign() -> ProblemError:
    return invalid("after", "not a cursor of this list; send `next` of the page before")
