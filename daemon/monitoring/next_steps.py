"""What a person should do in each state; nothing where meterd goes on by itself in good time."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

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


def next_step_of(status: Mapping[str, Any]) -> str | None:
    """The sentence for a whole status: while a process is being replaced, the state is no fault."""
    if status["state"] in ("ready", "degraded"):
        cause = str(status.get("why", "")).partition("; ")[0].split()
        for name, log_file in _replacing(status):
            if name in cause:
                return (
                    "Nothing, unless it lasts longer than two minutes: "
                    f"then read {log_file} in METERD_HOME."
                )
    return next_step(status["state"])


def _replacing(status: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The names of processes that are being replaced, and their logs."""
    for actor in status.get("actors") or ():
        if actor.get("replacing"):
            yield actor["name"], f"logs/{actor['name']}.log"
    if (status.get("recorder") or {}).get("replacing"):
        is_alone = len(status.get("partitions") or ()) <= 1
        yield "recorder", "logs/recorder.log" if is_alone else "the logs/*recorder.log"
