"""What a comparison of both sides finds."""

from typing import NamedTuple

from daemon.legacy.store.reader import PairKey


class RecordDifference(NamedTuple):
    """Something is not as it has to be."""

    kind: str
    pair: PairKey
    key: str
    expected: str
    found: str
    next: str = ""
    """The command that may well fix it, as the old system goes on writing; else empty."""
