"""Lists, page by page: by user, by advisor and by status, the newest first."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_RECORDS = "chat_time_records"
_OPEN = "ix_chat_time_records_open"
_IS_OPEN = sa.text("ended_at IS NULL")
_ENDED = "ix_chat_time_records_ended"
_IS_ENDED = sa.text("ended_at IS NOT NULL")
# Before and after: the new one serves whatever the old one did.
_WIDER = (
    (_RECORDS, ["user_id", "started_at"], ["user_id", "started_at", "chat_id"]),
    (_RECORDS, ["advisor_id", "started_at"], ["advisor_id", "started_at", "chat_id"]),
    ("ledger_entries", ["user_id", "at"], ["user_id", "at", "entry_id"]),
)


def upgrade() -> None:
    for table, before, after in _WIDER:
        _replace(table, before, after)
    op.drop_index(_OPEN)
    in_order = ["status", "started_at", "chat_id"]
    op.create_index(_OPEN, _RECORDS, in_order, postgresql_where=_IS_OPEN)
    op.create_index(_ENDED, _RECORDS, ["started_at", "chat_id"], postgresql_where=_IS_ENDED)


def downgrade() -> None:
    op.drop_index(_ENDED)
    op.drop_index(_OPEN)
    op.create_index(_OPEN, _RECORDS, ["status"], postgresql_where=_IS_OPEN)
    for table, before, after in _WIDER:
        _replace(table, after, before)


def _replace(table: str, before: list[str], after: list[str]) -> None:
    op.create_index(_name(table, after), table, after)
    op.drop_index(_name(table, before))


def _name(table: str, columns: list[str]) -> str:
    return op.f(f"ix_{table}_{'_'.join(columns)}")
