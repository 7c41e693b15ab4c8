"""Idempotency: what is kept of a command's ``id``, and what a repetition gets (PROTOCOL 2)."""

from typing import NamedTuple

from meterd.rules import outcomes
from meterd.rules.commands import Command, fingerprint
from meterd.rules.outcomes import Outcome


class IdempotencyRecord(NamedTuple):
    """What is kept of an id: the content it stood for and the outcome it got."""

    fingerprint: str
    outcome: Outcome


def repeated_outcome(command: Command, seen: IdempotencyRecord | None) -> Outcome | None:
    """The outcome of an id that was used before: the first one again, or a conflict."""
    if seen is None:
        return None
    return seen.outcome if seen.fingerprint == fingerprint(command) else outcomes.ID_CONFLICT
