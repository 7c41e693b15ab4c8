"""Idempotency: what is kept of a command's ``id``, and what a repetition gets (PROTOCOL 2)."""

from typing import Final, NamedTuple, cast

from meterd.rules import outcomes
from meterd.rules.commands import Command, fingerprint
from meterd.rules.outcomes import Outcome

DAY_MS: Final = 86_400_000
ID_MS_MIN: Final = DAY_MS
"""For so long at least an id gets its first outcome again."""
CREDIT_ID_MS_MIN: Final = 30 * DAY_MS
"""For so long where credits come or go: payment providers redeliver for days."""
CREDIT_TYPES: Final = ("top_up", "refund", "adjust")


class IdempotencyRecord(NamedTuple):
    """What is kept of an id: the content it stood for, the outcome it got, and whose entry."""

    fingerprint: str
    outcome: Outcome
    entry: str = ""
    """The stream ID of its first command; version 0.1 did not keep it."""

    def packed(self) -> str:
        """As Redis keeps it."""
        return f"{self.fingerprint} {self.outcome} {self.entry}"

    @staticmethod
    def unpacked(text: str) -> "IdempotencyRecord":
        """Out of what Redis keeps."""
        content, outcome, *entry = text.split(" ")
        return IdempotencyRecord(content, cast("Outcome", outcome), *entry)


def id_ms_min(command_type: str) -> int:
    """For how long at least the id of such a command gets its first outcome again, in ms."""
    return CREDIT_ID_MS_MIN if command_type in CREDIT_TYPES else ID_MS_MIN


def repeated_outcome(command: Command, seen: IdempotencyRecord | None) -> Outcome | None:
    """The outcome of an id that was used before: the first one again, or a conflict."""
    if seen is None:
        return None
    return seen.outcome if seen.fingerprint == fingerprint(command) else outcomes.ID_CONFLICT
