"""A migrated record to which nothing has happened gives way to one that was used meanwhile."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_CHANGED = "NEW.user_id <> OLD.user_id OR NEW.started_at <> OLD.started_at"


def upgrade() -> None:
    used = "OLD.source <> 'migrated' OR OLD.seq > 1"
    _replace_trigger(f"NEW.chat_id <> OLD.chat_id OR ({used}) AND ({_CHANGED})")


def downgrade() -> None:
    _replace_trigger(f"NEW.chat_id <> OLD.chat_id OR {_CHANGED}")


def _replace_trigger(broken: str) -> None:
    op.execute("DROP TRIGGER chat_time_records_identity ON chat_time_records")
    op.execute(
        "CREATE TRIGGER chat_time_records_identity BEFORE UPDATE ON chat_time_records"
        f" FOR EACH ROW WHEN ({broken})"
        " EXECUTE FUNCTION meterd_refuse('chat_time_records keep their chat, user and start')"
    )
