"""What an audit finds, and how much of it is kept."""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from persistence.postgres.rows import JournalRow

SHOWN_MAX: Final = 1_000
"""Differences that are shown; all are counted."""
_FACTS_MAX: Final = 12
_TEXT_MAX: Final = 400

NOTHING: Final = "nothing"


class Difference(NamedTuple):
    """One thing that is not as the journal says, and whose it is."""

    kind: str
    user: str | None
    chat: str | None
    entry: str | None
    """The stream entry or ledger entry it is about."""
    expected: str
    found: str


Tell = Callable[[Difference], None]


class Findings:
    """Counts what was looked at and what differs; passes on the first differences."""

    def __init__(self, show: Tell) -> None:
        """``show`` gets the first ``SHOWN_MAX`` differences, as they are found."""
        self._show = show
        self.users = 0
        self.chats = 0
        self.entries = 0
        self.differences = 0

    @property
    def is_truncated(self) -> bool:
        """Whether there are more differences than were shown."""
        return self.differences > SHOWN_MAX

    def report(self, difference: Difference) -> None:
        """Take in one more."""
        self.differences += 1
        if self.differences <= SHOWN_MAX:
            self._show(difference)


def differing(expected: Mapping[str, Any], found: Mapping[str, Any]) -> tuple[str, str]:
    """The facts that are not the same, as ``name=value``: those expected and those found."""
    names = [name for name in {**expected, **found} if expected.get(name) != found.get(name)]
    shown = names[:_FACTS_MAX]
    more = "" if len(names) <= _FACTS_MAX else f" and {len(names) - _FACTS_MAX} more"
    return _facts(shown, expected) + more, _facts(shown, found) + more


def cut(text: str) -> str:
    """The text, short enough for a line."""
    return text if len(text) <= _TEXT_MAX else text[:_TEXT_MAX] + "…"


def _facts(names: list[str], facts: Mapping[str, Any]) -> str:
    return cut(" ".join(f"{name}={facts.get(name)}" for name in names))


def of_row(kind: str, row: JournalRow, expected: str, found: str) -> Difference:
    """A difference that a row of the journal shows."""
    return Difference(
        kind=kind,
        user=row.user_id,
        chat=row.chat_id,
        entry=row.stream_id,
        expected=expected,
        found=found,
    )
