"""A pair's chats as chats of ours: how old time is shown, and written down when it comes over."""

from actors.rules.legacy import ACTIVE, Brought, Running
from actors.rules.state import ENDED, PAUSED, RUNNING, Chat


def ended_chat(brought: Brought) -> Chat:
    """A chat that ended in the old system: nothing of its cost is charged here."""
    at = brought.ended_at
    return Chat(
        brought.chat_id, brought.user_id, brought.advisor_id, ENDED,
        started_at=brought.started_at, since=at, as_of=at, alive_at=at,
        rate=0, free_ms=0, min_ms=0, increment_ms=0, idle_ms=0,
        active_ms=brought.active_ms, carried_cost=brought.cost_micro,
        ended_at=at, end_reason=ENDED,
    )  # fmt: skip


def running_chat(running: Running) -> Chat:
    """A chat that runs there: its clock can be drawn; what it will cost nobody knows here."""
    is_active = running.status == ACTIVE and running.since is not None
    since = max(running.since or 0, running.started_at + running.carried_ms)
    return Chat(
        running.chat_id, running.user_id, running.advisor_id, RUNNING if is_active else PAUSED,
        started_at=running.started_at, since=since, as_of=since, alive_at=since,
        rate=0, free_ms=0, min_ms=0, increment_ms=0, idle_ms=0,
        active_ms=running.carried_ms, carried_cost=running.carried_cost_micro,
    )  # fmt: skip
