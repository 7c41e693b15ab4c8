"""An archive names the last entry of each partition of the queue, not only the last of all."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_COMMENT = "The last entry of each partition of the queue; empty in older ones"


def upgrade() -> None:
    column = sa.Column(
        "last_entries",
        postgresql.JSONB(),
        nullable=False,
        server_default="{}",
        comment=_COMMENT,
    )
    op.add_column("journal_archives", column)


def downgrade() -> None:
    op.drop_column("journal_archives", "last_entries")
