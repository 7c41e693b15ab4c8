"""Where the usage of a period is found: block ranges, because rows come in order of time."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_INDEXES = (
    ("ix_chat_time_records_ended_at", "chat_time_records", "ended_at"),
    ("ix_ledger_entries_at", "ledger_entries", "at"),
)


def upgrade() -> None:
    for name, table, column in _INDEXES:
        op.create_index(
            name,
            table,
            [column],
            postgresql_using="brin",
            postgresql_with={"autosummarize": "on"},
        )


def downgrade() -> None:
    for name, table, _ in _INDEXES:
        op.drop_index(name, table_name=table)
