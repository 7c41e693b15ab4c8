"""What a commit came to, in integers, for status and metrics."""

from typing import Final

from actors.chat.commit_builder import CommitBuilder
from actors.messages import BatchStats
from meterd.rules import events
from meterd.rules.model import LedgerEntry, LedgerKind

_MOVEMENTS: Final[dict[LedgerKind, str]] = {
    "charge": "charged",
    "refund": "refunded",
    "top_up": "topped_up",
}


def count_commit(run: CommitBuilder, stats: BatchStats) -> None:
    """Add what a run came to whose commit has just had its effect; nothing may be added twice."""
    for kind, outcome, replayed in run.outcomes:
        _add(stats.commands.setdefault(kind, {}), outcome, 1)
        stats.replayed += replayed
    for due_ms, changes in run.dues.items():
        stats.dues[due_ms] = stats.dues.get(due_ms, 0) + changes
    for entry in run.ledger:
        _add(stats.credits_micro, _movement(entry), abs(entry.amount_micro))
    for event in run.events:
        _add(stats.events, event.event, 1)
        if event.event == events.CHAT_ENDED and event.chat_id is not None:
            stats.active_ms += run.touched[event.chat_id].active_ms
    for outcome, number in run.dead.items():
        _add(stats.dead, outcome, number)


def _movement(entry: LedgerEntry) -> str:
    if entry.kind == "adjustment":
        return "adjusted_up" if entry.amount_micro > 0 else "adjusted_down"
    return _MOVEMENTS[entry.kind]


def _add(counts: dict[str, int], name: str, number: int) -> None:
    counts[name] = counts.get(name, 0) + number
