"""What happens to an open chat is written in place: no index has what changes, pages have room."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_RECORDS = "chat_time_records"
_OPEN = "ix_chat_time_records_open"
_IS_OPEN = sa.text("ended_at IS NULL")


def upgrade() -> None:
    op.execute(f"ALTER TABLE {_RECORDS} SET (fillfactor = 80)")
    op.drop_index(_OPEN)
    op.create_index(_OPEN, _RECORDS, ["started_at", "chat_id"], postgresql_where=_IS_OPEN)


def downgrade() -> None:
    op.drop_index(_OPEN)
    in_order = ["status", "started_at", "chat_id"]
    op.create_index(_OPEN, _RECORDS, in_order, postgresql_where=_IS_OPEN)
    op.execute(f"ALTER TABLE {_RECORDS} RESET (fillfactor)")
