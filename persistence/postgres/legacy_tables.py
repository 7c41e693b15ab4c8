"""What meterd keeps of importing old records: which run imported what, and what it could not."""

from typing import Any, Final

from sqlalchemy import BigInteger, Boolean, Column, DateTime, Index, MetaData, Numeric, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

# In the order of bytes, whatever the database's own is: runs go by it from pair to pair.
_NAME: Final = Text(collation="C")
_MOMENT: Final = DateTime(timezone=True)
_CREDITS: Final = Numeric(20, 6)


def add_legacy_tables(metadata: MetaData) -> None:
    """Add the tables; none of them is needed once the old system is gone for good."""
    _add_runs(metadata)
    _add_chats(metadata)
    _add_quarantine(metadata)
    _add_residues(metadata)
    _add_balances(metadata)
    _add_adoptions(metadata)


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


def _add_balances(metadata: MetaData) -> None:
    Table(
        "legacy_balances",
        metadata,
        Column("user_id", _NAME, primary_key=True, comment="The user"),
        Column("balance", Numeric, nullable=False, comment="What the old system had of theirs"),
        Column("opened", _CREDITS, nullable=False, comment="What their account was opened with"),
        Column("unflushed", _CREDITS, nullable=False, comment="Taken for time that was adopted"),
        Column("residue", Numeric, nullable=False, comment="Less than a micro-credit: left over"),
        comment="Opening balances: balance = opened + unflushed + residue",
    )


def _add_adoptions(metadata: MetaData) -> None:
    Table(
        "legacy_adoptions",
        metadata,
        Column("chat_id", Text, primary_key=True, comment="A chat that ran at the cut-over"),
        Column("user_id", Text, nullable=False, comment="Its user"),
        Column("advisor_id", Text, nullable=False, comment="Its advisor"),
        _whole("share_ms", "Of the old record's time, the chat's"),
        _whole("share_micro", "Of the old record's cost, the chat's, in micro-credits"),
        _whole("carried_ms", "The same with the time since it was last resumed"),
        Column("carried_cost", _CREDITS, nullable=False, comment="The same with that time's cost"),
        Column("unflushed_cost", _CREDITS, nullable=False, comment="That time's cost alone"),
        Column("rate", _CREDITS, nullable=False, comment="Credits a minute, then and from now on"),
        _whole("started_at", "When it started: milliseconds since 1970"),
        Column("was_paused", Boolean, nullable=False, comment="Whether it did not run"),
        _whole("at_ms", "The cut-over: milliseconds since 1970"),
        Column("outcome", Text, nullable=False, comment="planned, ready, or what came of it"),
        Column(
            "carried_free_ms", BigInteger, comment="Of carried_ms, what was free; null: not known"
        ),
        Column(
            "tariff", JSONB, comment="Fields of its tariff besides the rate; null: as configured"
        ),
        Index(None, "user_id"),
        comment="What was taken over while it ran: written before anything is sent",
    )


def _whole(name: str, comment: str) -> Column[Any]:
    return Column(name, BigInteger, nullable=False, comment=comment)


def _run() -> Column[Any]:
    return Column("run_id", BigInteger, nullable=False, comment="The run that wrote this")


def _pair(*, in_key: bool = False) -> list[Column[Any]]:
    return [
        Column("user_id", _NAME, primary_key=in_key, nullable=False, comment="The pair's user"),
        Column(
            "advisor_id", _NAME, primary_key=in_key, nullable=False, comment="The pair's advisor"
        ),
    ]
