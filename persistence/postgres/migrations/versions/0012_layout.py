"""How many partitions the data was made with; what is there already was made with one."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_TABLES = ("recorder_states", "command_journal", "chat_time_records", "ledger_entries")
_POWER_OF_TWO = "partitions BETWEEN 1 AND 256 AND partitions & (partitions - 1) = 0"


def upgrade() -> None:
    op.create_table(
        "layout",
        sa.Column(
            "one_row", sa.Boolean, nullable=False, server_default=sa.true(), comment="There is one"
        ),
        sa.Column(
            "partitions",
            sa.Integer,
            nullable=False,
            comment="Into how many the accounts are shared out",
        ),
        sa.PrimaryKeyConstraint("one_row", name=op.f("pk_layout")),
        sa.CheckConstraint("one_row", name=op.f("ck_layout_one_row")),
        sa.CheckConstraint(_POWER_OF_TWO, name=op.f("ck_layout_partitions")),
        comment="How the data is laid out; written once, when it is made",
    )
    is_there = " OR ".join(f"EXISTS (SELECT FROM {table})" for table in _TABLES)
    op.execute(f"INSERT INTO layout (partitions) SELECT 1 WHERE {is_there}")


def downgrade() -> None:
    op.drop_table("layout")
