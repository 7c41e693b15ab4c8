"""What an archive is to have: which time, and which partitions go with it."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

Progress = Callable[[str], None]
"""Called for every row, with the name of the phase."""


class ArchivePlan(NamedTuple):
    """What is to be archived."""

    from_ms: int
    cut_ms: int
    partitions: list[str]
    """Those of the table, by time, that are dropped."""
    queue_partitions: int
    """Into so many the accounts are shared out."""
    last_sha256: str
    """Of the manifest of the archive before; empty for the first."""

    @property
    def name(self) -> str:
        """Of the folder: the days from the first on to before the second."""
        since = day(self.from_ms) if self.from_ms else "begin"
        return f"{since}_{day(self.cut_ms)}"


def day(at_ms: int) -> str:
    """The day of a millisecond, in UTC."""
    return f"{datetime.fromtimestamp(at_ms / 1_000, UTC):%Y-%m-%d}"


def moment(at_ms: int) -> str:
    """The begin of the day of a millisecond; empty for 0."""
    return f"{day(at_ms)}T00:00:00Z" if at_ms else ""
