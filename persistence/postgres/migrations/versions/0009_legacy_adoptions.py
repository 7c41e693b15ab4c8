"""What adopted chats carry of free time, and the tariff that they go on with."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_ADOPTIONS = "legacy_adoptions"


def upgrade() -> None:
    free = "Of carried_ms, what was free; null: not known"
    op.add_column(_ADOPTIONS, sa.Column("carried_free_ms", sa.BigInteger(), comment=free))
    tariff = "Fields of its tariff besides the rate; null: as configured"
    op.add_column(_ADOPTIONS, sa.Column("tariff", JSONB(), comment=tariff))


def downgrade() -> None:
    op.drop_column(_ADOPTIONS, "tariff")
    op.drop_column(_ADOPTIONS, "carried_free_ms")
