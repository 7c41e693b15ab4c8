"""A pair's chats as chats of ours: how old time is shown, and written down when it is imported."""

from daemon.legacy.rules.rows import (
    AMOUNT_MAX,
    DURATION_MS_MAX,
    Division,
    ImportedChat,
    OldRecord,
    Pair,
    Running,
)
from daemon.legacy.rules.split import split
from meterd.rules.model import ENDED, PAUSED, RUNNING, Chat
from meterd.rules.opening_balance import MIGRATED


def ended_chat(chat: ImportedChat) -> Chat:
    """A chat that ended in the old system: nothing of its cost is charged here."""
    at = chat.ended_at
    return Chat(
        chat.chat_id, chat.user_id, chat.advisor_id, ENDED,
        started_at_ms=chat.started_at, since_ms=at, as_of_ms=at, alive_at_ms=at,
        rate_micro=0, free_ms=0, min_ms=0, increment_ms=0, idle_ms=0,
        active_ms=chat.active_ms, carried_cost_micro=chat.cost_micro,
        ended_at_ms=at, end_reason=MIGRATED,
    )  # fmt: skip


def running_chat(running: Running) -> Chat:
    """A chat that runs there: its clock can be drawn; what it will cost nobody knows here."""
    since = running.seen_at if running.since is None else running.since
    since = max(since, running.started_at + running.carried_ms)
    return Chat(
        running.chat_id, running.user_id, running.advisor_id,
        RUNNING if running.status == RUNNING else PAUSED,
        started_at_ms=running.started_at, since_ms=since, as_of_ms=since, alive_at_ms=since,
        rate_micro=0, free_ms=0, min_ms=0, increment_ms=0, idle_ms=0,
        active_ms=running.carried_ms, carried_cost_micro=running.carried_cost_micro,
    )  # fmt: skip


def chat_of_pair(pair: Pair, division: Division, chat_id: str) -> Chat | None:
    """A chat of the pair, as it will be once it is imported, or as it runs there.

    One that can't be imported is shown with what its own rows say, as ended; or as paused, if they
    do not say that it has. None: the pair does not know it.
    """
    parts = split(pair, division)
    for chat in parts.imported:
        if chat.chat_id == chat_id:
            return ended_chat(chat)
    for running in parts.running:
        if running.chat_id == chat_id:
            return running_chat(running)
    is_open = any(one.status and one.chat_id == chat_id for one in parts.quarantined)
    return _left_behind(pair, chat_id, is_open=is_open)


def _left_behind(pair: Pair, chat_id: str, *, is_open: bool) -> Chat | None:
    named = [chat for chat in pair.chats if chat.chat_id == chat_id]
    records = [record for record in pair.records if record.chat_id == chat_id]
    if not named and not records:
        return None
    record = max(records, key=lambda r: (r.updated_at, r.key), default=None)
    active_ms, cost_micro = _own(record)
    starts = [chat.created_at for chat in named] + [r.started_at for r in records]
    ends = [chat.ended_at for chat in named] + [r.ended_at for r in records]
    started = max(0, next((at for at in starts if at is not None), 0))
    if is_open:
        return running_chat(
            Running(
                chat_id=chat_id,
                user_id=pair.user_id,
                advisor_id=pair.advisor_id,
                status=PAUSED,
                started_at=started,
                since=None,
                carried_ms=active_ms,
                carried_cost_micro=cost_micro,
                seen_at=record.updated_at if record is not None else started,
            )
        )
    ended = max(next((at for at in ends if at is not None), 0), started + active_ms)
    return ended_chat(
        ImportedChat(
            chat_id=chat_id,
            user_id=pair.user_id,
            advisor_id=pair.advisor_id,
            started_at=started,
            ended_at=ended,
            active_ms=active_ms,
            cost_micro=cost_micro,
        )
    )


def _own(record: OldRecord | None) -> tuple[int, int]:
    """What a record that can't be imported says, where that can be shown."""
    if record is None:
        return 0, 0
    total_ms, cost_micro = record.total_ms or 0, record.cost_micro or 0
    return _shown(total_ms, DURATION_MS_MAX), _shown(cost_micro, AMOUNT_MAX)


def _shown(value: int, most: int) -> int:
    return min(max(value, 0), most)
