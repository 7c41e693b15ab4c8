"""What meterd keeps of bringing old records over: which run brought what, and what it could not."""

from typing import Any, Final

from sqlalchemy import BigInteger, Column, DateTime, Index, MetaData, Numeric, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

# In the order of bytes, whatever the database's own is: runs go by it from pair to pair.
_NAME: Final = Text(collation="C")
_MOMENT: Final = DateTime(timezone=True)


def add_legacy_tables(metadata: MetaData) -> None:
    """Add the tables; none of them is needed once the old system is gone for good."""
    _add_runs(metadata)
    _add_chats(metadata)
    _add_quarantine(metadata)
    _add_residues(metadata)


def _add_runs(metadata: MetaData) -> None:
    Table(
        "legacy_runs",
        metadata,
        Column(
            "run_id", BigInteger, primary_key=True, autoincrement=False, comment="Counted from 1"
        ),
        Column("policy", Text, nullable=False, comment="latest or proportional"),
        Column("started_at", _MOMENT, nullable=False, comment="When it began first"),
        Column("finished_at", _MOMENT, comment="When it was done; null: it can be resumed"),
        Column("counts", JSONB, nullable=False, comment="What it has done so far"),
        Column("place_user_id", _NAME, comment="The last pair done: its user"),
        Column("place_advisor_id", _NAME, comment="The last pair done: its advisor"),
        comment="Every run of `meterd legacy migrate`",
    )


def _add_chats(metadata: MetaData) -> None:
    Table(
        "legacy_chats",
        metadata,
        Column("chat_id", Text, primary_key=True, comment="A chat with a migrated record"),
        _run(),
        *_pair(),
        Index(None, "user_id", "advisor_id"),
        comment="Which run brought which chat",
    )


def _add_quarantine(metadata: MetaData) -> None:
    Table(
        "legacy_quarantine",
        metadata,
        *_pair(in_key=True),
        Column("kind", Text, primary_key=True, comment="record or chat"),
        Column("key", Text, primary_key=True, comment="Id of the old row"),
        Column("reason", Text, nullable=False, comment="Why it is set aside"),
        # Without limits: what is absurd is set aside, and has to fit.
        Column("total_ms", Numeric, nullable=False, comment="Time that is in no record for it"),
        Column("cost", Numeric, nullable=False, comment="Credits that are in no record for it"),
        _run(),
        Column("details", JSONB, nullable=False, comment="The old row, and what was assigned"),
        Index(None, "kind", "key"),
        comment="What could not be decided, with its amounts",
    )


def _add_residues(metadata: MetaData) -> None:
    Table(
        "legacy_residues",
        metadata,
        *_pair(in_key=True),
        Column("key", Text, primary_key=True, comment="Id of the old record"),
        Column("ms", Numeric, nullable=False, comment="Old total − whole milliseconds"),
        Column("credits", Numeric, nullable=False, comment="Old total − whole micro-credits"),
        _run(),
        comment="What of old totals is less than a millisecond or a micro-credit",
    )


def _run() -> Column[Any]:
    return Column("run_id", BigInteger, nullable=False, comment="The run that wrote this")


def _pair(*, in_key: bool = False) -> list[Column[Any]]:
    return [
        Column("user_id", _NAME, primary_key=in_key, nullable=False, comment="The pair's user"),
        Column(
            "advisor_id", _NAME, primary_key=in_key, nullable=False, comment="The pair's advisor"
        ),
    ]
