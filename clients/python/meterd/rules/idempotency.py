"""Idempotency: what is kept of a command's ``id``, and what a repetition gets (PROTOCOL 2)."""

from typing import NamedTuple

from meterd.rules import outcomes
from meterd.rules.commands import Command, fingerprint


class IdempotencyRecord(NamedTuple):
    """What is kept of an id: the content it stood for and the outcome it got."""

    fingerprint: str
    outcome: str


def repeated_outcome(command: Command, seen: IdempotencyRecord | None) -> str:
    """The outcome of an id that was used before: the first one again, or a conflict."""
    if seen is None:
        return ""
    return seen.outcome if seen.fingerprint == fingerprint(command) else outcomes.ID_CONFLICT
