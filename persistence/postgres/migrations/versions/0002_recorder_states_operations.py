"""How far the recorder is, what operators did, and who started a chat."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_STARTED = "outcome = 'ok' AND fields ->> 'type' IN ('start', 'adopt')"


def upgrade() -> None:
    op.create_index(
        "ix_command_journal_started",
        "command_journal",
        ["chat_id"],
        postgresql_where=sa.text(_STARTED),
    )
    _create_recorder_states()
    _create_operations()


def downgrade() -> None:
    op.drop_table("operations")
    op.drop_table("recorder_states")
    op.drop_index("ix_command_journal_started")


def _create_recorder_states() -> None:
    op.create_table(
        "recorder_states",
        sa.Column("partition", sa.Text(), nullable=False, comment="Which queue"),
        sa.Column(
            "memory_id",
            sa.Text(),
            nullable=False,
            comment="Names what its Redis remembers; another name is another Redis",
        ),
        sa.Column(
            "epoch",
            sa.BigInteger(),
            nullable=False,
            comment="The recorder in office; older may not write",
        ),
        sa.Column(
            "outbox_ms",
            sa.BigInteger(),
            nullable=False,
            comment="Last outbox entry in here: first half",
        ),
        sa.Column("outbox_seq", sa.Numeric(20, 0), nullable=False, comment="Second half of it"),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            nullable=False,
            server_default=sa.func.now(),
            comment="When that was",
        ),
        sa.PrimaryKeyConstraint("partition", name=op.f("pk_recorder_states")),
        comment="How far the recorder is: if Redis knows less than this, it has lost its memory",
    )


def _create_operations() -> None:
    op.create_table(
        "operations",
        sa.Column("operation_id", sa.Text(), nullable=False, comment="Same act, same id"),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, comment="When it was done"),
        sa.Column("done_by", sa.Text(), nullable=False, comment="Who did it, as they said"),
        sa.Column(
            "operation", sa.Text(), nullable=False, comment="What was done, such as dead.retry"
        ),
        sa.Column("subject", sa.Text(), nullable=False, comment="To what"),
        sa.Column("details", postgresql.JSONB(), nullable=False, comment="What it was at the time"),
        sa.PrimaryKeyConstraint("operation_id", name=op.f("pk_operations")),
        comment="What operators decided; append-only",
    )
    op.create_index(op.f("ix_operations_at"), "operations", ["at"])
    op.execute(
        "CREATE TRIGGER operations_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON operations "
        "FOR EACH STATEMENT EXECUTE FUNCTION meterd_refuse('operations is append-only')"
    )
