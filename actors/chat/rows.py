"""From rules to rows: what Postgres gets of a decision."""

from actors.messages import Task
from meterd.rules import outcomes
from meterd.rules.billing import billed_ms, cost, paused_ms
from meterd.rules.commands import Command, InvalidCommand
from meterd.rules.model import LIVE, MIGRATED, Chat
from persistence.postgres.rows import JournalRow, RecordRow


def record_row(chat: Chat) -> RecordRow:
    """The chat's record as of its last change."""
    at = chat.as_of_ms
    return RecordRow(
        chat_id=chat.chat_id,
        user_id=chat.user_id,
        advisor_id=chat.advisor_id,
        status=chat.status,
        started_at_ms=chat.started_at_ms,
        ended_at_ms=chat.ended_at_ms,
        end_reason=chat.end_reason,
        pause_reason=chat.pause_reason,
        active_ms=chat.active_ms,
        paused_ms=paused_ms(chat, at),
        billed_ms=billed_ms(chat, chat.active_ms),
        rate_micro=chat.rate_micro,
        cost_micro=cost(chat, at),
        refunded_micro=chat.refunded_micro,
        carried_cost_micro=chat.carried_cost_micro,
        free_ms=chat.free_ms,
        min_ms=chat.min_ms,
        increment_ms=chat.increment_ms,
        idle_ms=chat.idle_ms,
        source=source_of(chat),
        seq=chat.seq,
        updated_at_ms=at,
        free_scope=chat.free_scope,
        increment_due=chat.increment_due,
        abandon_ms=chat.abandon_ms,
        max_ms=chat.max_ms,
    )


def source_of(chat: Chat) -> str:
    """Where a chat's record came from. An adopted chat has a tariff, and is live."""
    return LIVE if chat.increment_ms else MIGRATED


def chat_of_record(row: RecordRow) -> Chat:
    """The chat that a record tells of, as far as commands for an ended chat need it."""
    return Chat(
        chat_id=row.chat_id,
        user_id=row.user_id,
        advisor_id=row.advisor_id,
        status=row.status,
        started_at_ms=row.started_at_ms,
        since_ms=row.updated_at_ms,
        as_of_ms=row.updated_at_ms,
        alive_at_ms=row.updated_at_ms,
        rate_micro=row.rate_micro,
        free_ms=row.free_ms,
        min_ms=row.min_ms,
        increment_ms=row.increment_ms,
        idle_ms=row.idle_ms,
        active_ms=row.active_ms,
        owed_rate_ms=(row.cost_micro - row.carried_cost_micro) * 60_000,
        carried_cost_micro=row.carried_cost_micro,
        refunded_micro=row.refunded_micro,
        ended_at_ms=row.ended_at_ms,
        end_reason=row.end_reason,
        pause_reason=row.pause_reason,
        seq=row.seq,
        free_scope=row.free_scope,
        increment_due=row.increment_due,
        abandon_ms=row.abandon_ms,
        max_ms=row.max_ms,
    )


def command_row(
    command: Command, user: str, outcome: str, replayed: bool, policy: str
) -> JournalRow:
    """A command or settle, and what came of it."""
    return JournalRow(
        stream_id=command.entry,
        user_id=user or None,
        chat_id=command.chat_id or None,
        fields=dict(command.fields),
        outcome=outcome,
        replayed=replayed,
        policy_id=policy,
    )


def quarantined_row(task: Task, policy: str) -> JournalRow:
    """An entry that could not be decided: it has no effect, and the journal says so."""
    outcome = outcomes.INTERNAL_ERROR
    content = task.content
    if isinstance(content, InvalidCommand):
        return invalid_row(content, outcome, policy)
    return command_row(content, task.user, outcome, False, policy)


def invalid_row(invalid: InvalidCommand, outcome: str, policy: str) -> JournalRow:
    """An entry that can't be a command; it belongs to nobody."""
    return JournalRow(
        stream_id=invalid.entry,
        user_id=None,
        chat_id=None,
        fields=dict(invalid.fields),
        outcome=outcome,
        replayed=False,
        policy_id=policy,
    )
