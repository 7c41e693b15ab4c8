"""Opening balances, and chats that are adopted at the cut-over."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_CREDITS = sa.Numeric(20, 6)


def upgrade() -> None:
    _create_balances()
    _create_adoptions()


def downgrade() -> None:
    op.drop_table("legacy_adoptions")
    op.drop_table("legacy_balances")


def _create_balances() -> None:
    op.create_table(
        "legacy_balances",
        sa.Column("user_id", sa.Text(collation="C"), nullable=False, comment="The user"),
        _column("balance", sa.Numeric(), "What the old system had of theirs"),
        _column("opened", _CREDITS, "What their account was opened with"),
        _column("unflushed", _CREDITS, "Taken for time that was adopted"),
        _column("residue", sa.Numeric(), "Less than a micro-credit: left over"),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_legacy_balances")),
        comment="Opening balances: balance = opened + unflushed + residue",
    )


def _create_adoptions() -> None:
    op.create_table(
        "legacy_adoptions",
        _column("chat_id", sa.Text(), "A chat that ran at the cut-over"),
        _column("user_id", sa.Text(), "Its user"),
        _column("advisor_id", sa.Text(), "Its advisor"),
        _column("share_ms", sa.BigInteger(), "Of the old record's time, the chat's"),
        _column(
            "share_micro", sa.BigInteger(), "Of the old record's cost, the chat's, in micro-credits"
        ),
        _column("carried_ms", sa.BigInteger(), "The same with the time since it was last resumed"),
        _column("carried_cost", _CREDITS, "The same with that time's cost"),
        _column("unflushed_cost", _CREDITS, "That time's cost alone"),
        _column("rate", _CREDITS, "Credits a minute, then and from now on"),
        _column("started_at", sa.BigInteger(), "When it started: milliseconds since 1970"),
        _column("was_paused", sa.Boolean(), "Whether it did not run"),
        _column("at_ms", sa.BigInteger(), "The cut-over: milliseconds since 1970"),
        _column("outcome", sa.Text(), "planned, ready, or what came of it"),
        sa.PrimaryKeyConstraint("chat_id", name=op.f("pk_legacy_adoptions")),
        comment="What was taken over while it ran: written before anything is sent",
    )
    op.create_index(op.f("ix_legacy_adoptions_user_id"), "legacy_adoptions", ["user_id"])


def _column(name: str, type_: Any, comment: str) -> sa.Column[Any]:
    return sa.Column(name, type_, nullable=False, comment=comment)
