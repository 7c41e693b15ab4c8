"""How many ids are remembered: counted by the hour in which they expire."""

from collections.abc import Mapping
from typing import Final

HOUR_MS: Final = 3_600_000


def first_hour_without(until_ms: int) -> int:
    """The first hour since 1970 in the whole of which an id is not remembered any more."""
    return until_ms // HOUR_MS + 1


def count_remembered(hours: Mapping[bytes, bytes], now_ms: int) -> tuple[list[bytes], int]:
    """The hours whose ids are all forgotten, and how many ids the others have.

    Args:
        hours: number of ids by ``first_hour_without``.
        now_ms: by the queue's clock.
    """
    over = [hour for hour in hours if int(hour) * HOUR_MS <= now_ms]
    return over, sum(int(number) for hour, number in hours.items() if hour not in over)
