"""Records, ledger, journal and policies, with what the database refuses."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables, then the triggers."""
    _create_records()
    _create_ledger()
    _create_journal()
    _create_policies()
    _create_triggers()


def downgrade() -> None:
    """Drop everything; triggers and indexes go with their tables."""
    for table in ("policies", "command_journal", "ledger_entries", "chat_time_records"):
        op.drop_table(table)
    op.execute("DROP FUNCTION meterd_refuse()")


def _column(name: str, kind: Any, comment: str, **options: Any) -> sa.Column[Any]:
    options.setdefault("nullable", False)
    return sa.Column(name, kind, comment=comment, **options)


def _text(name: str, comment: str, **options: Any) -> sa.Column[Any]:
    return _column(name, sa.Text(), comment, **options)


def _ms(name: str, comment: str) -> sa.Column[Any]:
    return _column(name, sa.BigInteger(), comment)


def _credits(name: str, comment: str) -> sa.Column[Any]:
    return _column(name, sa.Numeric(20, 6), comment)


def _moment(name: str, comment: str, **options: Any) -> sa.Column[Any]:
    return _column(name, sa.DateTime(timezone=True), comment, **options)


def _check(table: str, name: str, rule: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(rule, name=op.f(f"ck_{table}_{name}"))


def _primary_key(table: str, column: str) -> sa.PrimaryKeyConstraint:
    return sa.PrimaryKeyConstraint(column, name=op.f(f"pk_{table}"))


_RECORD_CHECKS = {
    "status": "status IN ('running', 'paused', 'suspended', 'ended')",
    "ended_at_if_ended": "(status = 'ended') = (ended_at IS NOT NULL)",
    "end_reason_if_ended": "(status = 'ended') = (end_reason IS NOT NULL)",
    "ended_after_start": "ended_at >= started_at",
    "times_add_up": "ended_at IS NULL OR"
    " extract(epoch FROM ended_at - started_at) * 1000 = active_ms + paused_ms",
    "active_ms": "active_ms >= 0",
    "paused_ms": "paused_ms >= 0",
    "billed_ms": "billed_ms >= 0",
    "free_ms": "free_ms >= 0",
    "min_ms": "min_ms >= 0",
    "increment_ms": "increment_ms >= 0",
    "idle_ms": "idle_ms >= 0",
    "rate": "rate >= 0",
    "cost": "cost >= 0",
    "refunded": "refunded BETWEEN 0 AND cost",
    "carried_cost": "carried_cost BETWEEN 0 AND cost",
    "source": "source IN ('live', 'migrated')",
    "seq": "seq >= 1",
}


def _create_records() -> None:
    table = "chat_time_records"
    op.create_table(
        table,
        _text("chat_id", "The chat; it has this one record for ever"),
        _text("user_id", "Whose account pays"),
        _text("advisor_id", "Who is paid for"),
        _text("status", "running, paused, suspended (out of credits) or ended"),
        _moment("started_at", "When the chat started"),
        _moment("ended_at", "When it ended; null while it is open", nullable=True),
        _text("end_reason", "Why it ended; null while it is open", nullable=True),
        _text("pause_reason", "Why it does not run at the moment", nullable=True),
        _ms("active_ms", "Time running"),
        _ms("paused_ms", "All other time, up to the end"),
        _ms("billed_ms", "What active_ms came to after free time, minimum and increments"),
        _credits("rate", "Credits a minute, the last in force"),
        _credits("cost", "Credits it cost, carried_cost included"),
        _credits("refunded", "Credits of the cost given back"),
        _credits("carried_cost", "Paid in another system before"),
        _ms("free_ms", "Free time at the start"),
        _ms("min_ms", "Least time billed once free time is over"),
        _ms("increment_ms", "Time is billed in whole steps of this; 0 where it is not known"),
        _ms("idle_ms", "Paused after this long without a sign of life; 0 for never"),
        _text("source", "live, or migrated from another system"),
        _column("seq", sa.BigInteger(), "Number of this change of the chat"),
        _moment("updated_at", "Queue time of this change"),
        _primary_key(table, "chat_id"),
        *(_check(table, name, rule) for name, rule in _RECORD_CHECKS.items()),
        comment="One row per chat: how long it ran and what it cost",
    )
    _index(table, "user_id", "started_at")
    _index(table, "advisor_id", "started_at")
    is_open = sa.text("ended_at IS NULL")
    op.create_index("ix_chat_time_records_open", table, ["status"], postgresql_where=is_open)


def _create_ledger() -> None:
    table = "ledger_entries"
    sign = "CASE kind WHEN 'charge' THEN amount < 0 WHEN 'migrated' THEN true ELSE amount > 0 END"
    op.create_table(
        table,
        _text("entry_id", "Same fact, same id, however often written"),
        _text("user_id", "Whose account"),
        _text("chat_id", "The chat it is about; null for a top-up", nullable=True),
        _text("kind", "top_up, charge, refund or migrated"),
        _credits("amount", "Credits; negative for a charge"),
        _moment("at", "Queue time"),
        _text("command_id", "The command behind it; null if it was time", nullable=True),
        _primary_key(table, "entry_id"),
        _check(table, "amount", "amount <> 0"),
        _check(table, "kind", "kind IN ('top_up', 'charge', 'refund', 'migrated')"),
        _check(table, "sign", sign),
        comment="Every movement of credits; append-only",
    )
    _index(table, "user_id", "at")
    _index(table, "chat_id", postgresql_where=sa.text("chat_id IS NOT NULL"))


def _create_journal() -> None:
    table = "command_journal"
    op.create_table(
        table,
        _text("stream_id", "ID of the stream entry: its order"),
        _column("at_ms", sa.BigInteger(), "First half of stream_id: queue time"),
        _column("at_seq", sa.Numeric(20, 0), "Second half of stream_id"),
        _text("user_id", "Whose account; null if the command names none", nullable=True),
        _text("chat_id", "Which chat; null if the command names none", nullable=True),
        _column("fields", postgresql.JSONB(), "The entry as it came"),
        _text("outcome", "ok, or the error it was answered with"),
        _column("replayed", sa.Boolean(), "A repeated id: no second effect"),
        _text("policy_id", "The policy in force, see policies"),
        _moment(
            "written_at",
            "When the row got here; of no meaning to the fold",
            server_default=sa.func.now(),
        ),
        _primary_key(table, "stream_id"),
        _check(table, "position", "at_ms >= 0 AND at_seq >= 0"),
        _check(table, "stream_id", "stream_id = at_ms::text || '-' || at_seq::text"),
        comment="Every command and settle in the order of the fold; append-only",
    )
    _index(table, "user_id", "at_ms", "at_seq")
    _index(table, "at_ms", "at_seq")


def _create_policies() -> None:
    op.create_table(
        "policies",
        _text("policy_id", "Names this policy in command_journal"),
        _column("policy", postgresql.JSONB(), "The settings the fold depends on"),
        _moment(
            "first_seen_at", "When this database first heard of it", server_default=sa.func.now()
        ),
        _primary_key("policies", "policy_id"),
        comment="The operator's settings under which commands were decided",
    )


def _index(table: str, *columns: str, **options: Any) -> None:
    name = f"ix_{table}_{'_'.join(columns)}"
    op.create_index(op.f(name), table, list(columns), **options)


def _create_triggers() -> None:
    op.execute("""
        CREATE FUNCTION meterd_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION '%: % refused', TG_ARGV[0], TG_OP
            USING ERRCODE = 'restrict_violation';
        END
        $$
    """)
    _refuse_changes("ledger_entries")
    _refuse_changes("command_journal")
    moved = "NEW.user_id <> OLD.user_id OR NEW.started_at <> OLD.started_at"
    _refuse_update("seq", "NEW.seq < OLD.seq", "never go back in seq")
    _refuse_update(
        "identity", f"NEW.chat_id <> OLD.chat_id OR {moved}", "keep their chat, user and start"
    )
    _refuse_update("final", "OLD.status = 'ended' AND NEW.status <> 'ended'", "stay ended")


def _refuse_changes(table: str) -> None:
    op.execute(f"""
        CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}
        FOR EACH STATEMENT EXECUTE FUNCTION meterd_refuse('{table} is append-only')
    """)


def _refuse_update(name: str, broken: str, rule: str) -> None:
    op.execute(f"""
        CREATE TRIGGER chat_time_records_{name} BEFORE UPDATE ON chat_time_records
        FOR EACH ROW WHEN ({broken}) EXECUTE FUNCTION meterd_refuse('chat_time_records {rule}')
    """)
