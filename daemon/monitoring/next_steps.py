"""What a person should do in each state; nothing where meterd goes on by itself in good time."""

from typing import Final

NEXT_STEPS: Final[dict[str, str | None]] = {
    "ready": None,
    "starting": "Wait; if it takes minutes, read the log that the reason names.",
    "restarting": "Wait; if it comes again, read the log that the reason names.",
    "recovering": "Wait until every open chat has its actor; commands wait and nothing is lost.",
    "degraded": "Bring back the server that the reason names; meterd then goes on by itself.",
    "standby": "Nothing, while the daemon that leads works; this one takes over if it ends.",
    "held": "See what holds it with: meterd clock show; then accept the clock, or drop the entry.",
    "lost": "Run: meterd recover --dry-run, then: meterd recover",
    "stopping": "Start it again with: meterd up",
    "down": "Start it with: meterd up; if it runs, read its log.",
}
"""State → a sentence; None: nothing is to be done."""


def next_step(state: str) -> str | None:
    """The sentence for a state; of a state of another version, where to read about it."""
    return NEXT_STEPS.get(state, "Read about this state in docs/operations.md.")
