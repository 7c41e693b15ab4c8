"""The import of old records: which run importedwhat, and what could not be decided."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_NAME = sa.Text(collation="C")
_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    _create_runs()
    _create_chats()
    _create_quarantine()
    _create_residues()


def downgrade() -> None:
    for table in ("legacy_residues", "legacy_quarantine", "legacy_chats", "legacy_runs"):
        op.drop_table(table)


def _create_runs() -> None:
    op.create_table(
        "legacy_runs",
        sa.Column(
            "run_id", sa.BigInteger(), nullable=False, autoincrement=False, comment="Counted from 1"
        ),
        sa.Column("policy", sa.Text(), nullable=False, comment="latest or proportional"),
        sa.Column("started_at", _MOMENT, nullable=False, comment="When it began first"),
        sa.Column("finished_at", _MOMENT, comment="When it was done; null: it can be resumed"),
        sa.Column("counts", postgresql.JSONB(), nullable=False, comment="What it has done so far"),
        sa.Column("place_user_id", _NAME, comment="The last pair done: its user"),
        sa.Column("place_advisor_id", _NAME, comment="The last pair done: its advisor"),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_legacy_runs")),
        comment="Every run of `meterd legacy migrate`",
    )


def _create_chats() -> None:
    op.create_table(
        "legacy_chats",
        sa.Column("chat_id", sa.Text(), nullable=False, comment="A chat with a migrated record"),
        _run(),
        *_pair(),
        sa.PrimaryKeyConstraint("chat_id", name=op.f("pk_legacy_chats")),
        comment="Which run brought which chat",
    )
    op.create_index(
        op.f("ix_legacy_chats_user_id_advisor_id"), "legacy_chats", ["user_id", "advisor_id"]
    )


def _create_quarantine() -> None:
    op.create_table(
        "legacy_quarantine",
        *_pair(),
        sa.Column("kind", sa.Text(), nullable=False, comment="record or chat"),
        sa.Column("key", sa.Text(), nullable=False, comment="Id of the old row"),
        sa.Column("reason", sa.Text(), nullable=False, comment="Why it is set aside"),
        _amount("total_ms", "Time that is in no record for it"),
        _amount("cost", "Credits that are in no record for it"),
        _run(),
        sa.Column(
            "details",
            postgresql.JSONB(),
            nullable=False,
            comment="The old row, and what was assigned",
        ),
        sa.PrimaryKeyConstraint(
            "user_id", "advisor_id", "kind", "key", name=op.f("pk_legacy_quarantine")
        ),
        comment="What could not be decided, with its amounts",
    )
    op.create_index(op.f("ix_legacy_quarantine_kind_key"), "legacy_quarantine", ["kind", "key"])


def _create_residues() -> None:
    op.create_table(
        "legacy_residues",
        *_pair(),
        sa.Column("key", sa.Text(), nullable=False, comment="Id of the old record"),
        _amount("ms", "Old total − whole milliseconds"),
        _amount("credits", "Old total − whole micro-credits"),
        _run(),
        sa.PrimaryKeyConstraint("user_id", "advisor_id", "key", name=op.f("pk_legacy_residues")),
        comment="What of old totals is less than a millisecond or a micro-credit",
    )


def _run() -> sa.Column[Any]:
    return sa.Column("run_id", sa.BigInteger(), nullable=False, comment="The run that wrote this")


def _pair() -> list[sa.Column[Any]]:
    return [
        sa.Column("user_id", _NAME, nullable=False, comment="The pair's user"),
        sa.Column("advisor_id", _NAME, nullable=False, comment="The pair's advisor"),
    ]


def _amount(name: str, comment: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Numeric(), nullable=False, comment=comment)
