"""Shared free time, increments due at their end, abandonment, limits; adjustments of an account."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_RECORDS = "chat_time_records"
_CHECKS = {
    "free_scope": "free_scope IN ('chat', 'advisor', 'user')",
    "increment_due": "increment_due IN ('begin', 'end')",
    "abandon_ms": "abandon_ms >= 0",
    "max_ms": "max_ms >= 0",
}
_KINDS = "kind IN ('top_up', 'charge', 'refund', 'adjustment', 'migrated')"
_KINDS_BEFORE = "kind IN ('top_up', 'charge', 'refund', 'migrated')"
_SIGN = (
    "CASE kind WHEN 'charge' THEN amount < 0 WHEN 'migrated' THEN true"
    " WHEN 'adjustment' THEN true ELSE amount > 0 END"
)
_SIGN_BEFORE = (
    "CASE kind WHEN 'charge' THEN amount < 0 WHEN 'migrated' THEN true ELSE amount > 0 END"
)
_FREE_MS = "Free time; where chats share it, what this one has used and will still get"
_KIND = "top_up, charge, refund, adjustment or migrated"


def upgrade() -> None:
    for column in _columns():
        op.add_column(_RECORDS, column)
    for name, condition in _CHECKS.items():
        op.create_check_constraint(op.f(f"ck_{_RECORDS}_{name}"), _RECORDS, condition)
    op.execute(f"COMMENT ON COLUMN {_RECORDS}.free_ms IS '{_FREE_MS}'")
    op.execute(f"COMMENT ON COLUMN ledger_entries.kind IS '{_KIND}'")
    _replace_checks(_KINDS, _SIGN)
    _create_free_times()


def downgrade() -> None:
    op.drop_table("opening_free_times")
    _replace_checks(_KINDS_BEFORE, _SIGN_BEFORE)
    op.execute("COMMENT ON COLUMN ledger_entries.kind IS 'top_up, charge, refund or migrated'")
    op.execute(f"COMMENT ON COLUMN {_RECORDS}.free_ms IS 'Free time at the start'")
    for column in _columns():
        op.drop_column(_RECORDS, column.name)


def _columns() -> list[sa.Column[object]]:
    return [
        _column(
            "free_scope", sa.Text(), "chat", "Which chats share free_ms: chat, advisor or user"
        ),
        _column(
            "increment_due", sa.Text(), "begin", "An increment is owed at its begin or its end"
        ),
        _column(
            "abandon_ms",
            sa.BigInteger(),
            "0",
            "Ended after this long without a sign of life; 0 for never",
        ),
        _column(
            "max_ms", sa.BigInteger(), "0", "Ended after being active for this long; 0 for never"
        ),
    ]


def _column(name: str, type_: object, default: str, comment: str) -> sa.Column[object]:
    return sa.Column(name, type_, nullable=False, server_default=default, comment=comment)  # type: ignore[arg-type]


def _replace_checks(kinds: str, sign: str) -> None:
    """Both in one statement each; rows that are there are not read: they pass the old checks."""
    for name, condition in (("kind", kinds), ("sign", sign)):
        constraint = f"ck_ledger_entries_{name}"
        op.drop_constraint(op.f(constraint), "ledger_entries", type_="check")
        op.create_check_constraint(op.f(constraint), "ledger_entries", condition)


def _create_free_times() -> None:
    op.create_table(
        "opening_free_times",
        sa.Column("user_id", sa.Text(), nullable=False, comment="Whose account"),
        sa.Column(
            "number", sa.BigInteger(), nullable=False, comment="Of the account's opening entry"
        ),
        sa.Column(
            "scope",
            sa.Text(),
            nullable=False,
            comment="Which chats share it: user, or advisor:<id>",
        ),
        sa.Column(
            "used_ms", sa.BigInteger(), nullable=False, comment="Free time used in another system"
        ),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, comment="Queue time"),
        sa.CheckConstraint("used_ms >= 0", name=op.f("ck_opening_free_times_used_ms")),
        sa.CheckConstraint("number >= 1", name=op.f("ck_opening_free_times_number")),
        sa.PrimaryKeyConstraint("user_id", "number", "scope", name=op.f("pk_opening_free_times")),
        comment="Free time that accounts had used before their first command; append-only",
    )
    op.execute(
        "CREATE TRIGGER opening_free_times_append_only BEFORE UPDATE OR DELETE OR TRUNCATE"
        " ON opening_free_times FOR EACH STATEMENT"
        " EXECUTE FUNCTION meterd_refuse('opening_free_times is append-only')"
    )
