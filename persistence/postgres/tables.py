"""The tables. The database refuses what must not be, so a bug shows as an error, not as a bill."""

from typing import Final

from sqlalchemy import (
    DDL,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Index,
    Integer,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    Text,
    event,
    func,
    text,
    true,
)
from sqlalchemy.dialects.postgresql import JSONB

from persistence.postgres.legacy_tables import add_legacy_tables  # migration seam
from persistence.postgres.triggers import attach_triggers

# Names that do not depend on who made the table: a migration must find what it changes.
NAMING: Final = {
    "pk": "pk_%(table_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
}
_CREDITS: Final = Numeric(20, 6)
_MOMENT: Final = DateTime(timezone=True)

metadata: Final = MetaData(naming_convention=NAMING)


def _text(
    name: str, comment: str, *, nullable: bool = False, default: str | None = None
) -> Column[str]:
    return Column(name, Text, nullable=nullable, comment=comment, server_default=default)


def _ms(name: str, comment: str, *, default: str | None = None) -> Column[int]:
    return Column(name, BigInteger, nullable=False, comment=comment, server_default=default)


chat_time_records: Final = Table(
    "chat_time_records",
    metadata,
    Column("chat_id", Text, primary_key=True, comment="The chat; it has this one record for ever"),
    _text("user_id", "Whose account pays"),
    _text("advisor_id", "Who is paid for"),
    _text("status", "running, paused, suspended (out of credits) or ended"),
    Column("started_at", _MOMENT, nullable=False, comment="When the chat started"),
    Column("ended_at", _MOMENT, comment="When it ended; null while it is open"),
    _text("end_reason", "Why it ended; null while it is open", nullable=True),
    _text("pause_reason", "Why it does not run at the moment", nullable=True),
    _ms("active_ms", "Time running"),
    _ms("paused_ms", "All other time, up to the end"),
    _ms("billed_ms", "What active_ms came to after free time, minimum and increments"),
    Column("rate", _CREDITS, nullable=False, comment="Credits a minute, the last in force"),
    Column("cost", _CREDITS, nullable=False, comment="Credits it cost, carried_cost included"),
    Column("refunded", _CREDITS, nullable=False, comment="Credits of the cost given back"),
    Column("carried_cost", _CREDITS, nullable=False, comment="Paid in another system before"),
    _ms("free_ms", "Free time; where chats share it, what this one has used and will still get"),
    _ms("min_ms", "Least time billed once free time is over"),
    _ms("increment_ms", "Time is billed in whole steps of this; 0 where it is not known"),
    _ms("idle_ms", "Paused after this long without a sign of life; 0 for never"),
    _text("source", "live, or migrated from another system"),
    Column("seq", BigInteger, nullable=False, comment="Number of this change of the chat"),
    Column("updated_at", _MOMENT, nullable=False, comment="Queue time of this change"),
    _text("free_scope", "Which chats share free_ms: chat, advisor or user", default="chat"),
    _text("increment_due", "An increment is owed at its begin or its end", default="begin"),
    _ms("abandon_ms", "Ended after this long without a sign of life; 0 for never", default="0"),
    _ms("max_ms", "Ended after being active for this long; 0 for never", default="0"),
    CheckConstraint("status IN ('running', 'paused', 'suspended', 'ended')", name="status"),
    CheckConstraint("(status = 'ended') = (ended_at IS NOT NULL)", name="ended_at_if_ended"),
    CheckConstraint("(status = 'ended') = (end_reason IS NOT NULL)", name="end_reason_if_ended"),
    CheckConstraint("ended_at >= started_at", name="ended_after_start"),
    # An open record counts its times up to its last change only; nothing to compare with yet.
    CheckConstraint(
        "ended_at IS NULL OR"
        " extract(epoch FROM ended_at - started_at) * 1000 = active_ms + paused_ms",
        name="times_add_up",
    ),
    CheckConstraint("active_ms >= 0", name="active_ms"),
    CheckConstraint("paused_ms >= 0", name="paused_ms"),
    CheckConstraint("billed_ms >= 0", name="billed_ms"),
    CheckConstraint("free_ms >= 0", name="free_ms"),
    CheckConstraint("min_ms >= 0", name="min_ms"),
    CheckConstraint("increment_ms >= 0", name="increment_ms"),
    CheckConstraint("idle_ms >= 0", name="idle_ms"),
    CheckConstraint("free_scope IN ('chat', 'advisor', 'user')", name="free_scope"),
    CheckConstraint("increment_due IN ('begin', 'end')", name="increment_due"),
    CheckConstraint("abandon_ms >= 0", name="abandon_ms"),
    CheckConstraint("max_ms >= 0", name="max_ms"),
    CheckConstraint("rate >= 0", name="rate"),
    CheckConstraint("cost >= 0", name="cost"),
    CheckConstraint("refunded BETWEEN 0 AND cost", name="refunded"),
    CheckConstraint("carried_cost BETWEEN 0 AND cost", name="carried_cost"),
    CheckConstraint("source IN ('live', 'migrated')", name="source"),
    CheckConstraint("seq >= 1", name="seq"),
    Index(None, "user_id", "started_at", "chat_id"),
    Index(None, "advisor_id", "started_at", "chat_id"),
    comment="One row per chat: how long it ran and what it cost",
    postgresql_with={"fillfactor": 80},  # room for what happens to a chat, on its row's own page
)
# Lists by status. Open chats are few, and are counted by this too. It has nothing that changes
# while a chat is open, not even the status: so a change is written to the page of its row, if that
# has room, and to no index (a heap-only tuple). What has ended has an index of its own.
Index(
    "ix_chat_time_records_open",
    chat_time_records.c.started_at,
    chat_time_records.c.chat_id,
    postgresql_where=chat_time_records.c.ended_at.is_(None),
)
Index(
    "ix_chat_time_records_ended",
    chat_time_records.c.started_at,
    chat_time_records.c.chat_id,
    postgresql_where=chat_time_records.c.ended_at.is_not(None),
)

# The usage of a period, summed up: rows come about in order of time, so block ranges are enough,
# and cost next to nothing to keep.
Index(
    "ix_chat_time_records_ended_at",
    chat_time_records.c.ended_at,
    postgresql_using="brin",
    postgresql_with={"autosummarize": "on"},
)

ledger_entries: Final = Table(
    "ledger_entries",
    metadata,
    Column("entry_id", Text, primary_key=True, comment="Same fact, same id, however often written"),
    _text("user_id", "Whose account"),
    _text("chat_id", "The chat it is about; null for a top-up", nullable=True),
    _text("kind", "top_up, charge, refund, adjustment or migrated"),
    Column("amount", _CREDITS, nullable=False, comment="Credits; negative for a charge"),
    Column("at", _MOMENT, nullable=False, comment="Queue time"),
    _text("command_id", "The command behind it; null if it was time", nullable=True),
    CheckConstraint("amount <> 0", name="amount"),
    CheckConstraint(
        "kind IN ('top_up', 'charge', 'refund', 'adjustment', 'migrated')", name="kind"
    ),
    CheckConstraint(
        "CASE kind WHEN 'charge' THEN amount < 0 WHEN 'migrated' THEN true"
        " WHEN 'adjustment' THEN true ELSE amount > 0 END",
        name="sign",
    ),
    # An account that runs out ends all its chats, and charges each of them, in one millisecond.
    Index(None, "user_id", "at", "entry_id"),
    Index(None, "chat_id", postgresql_where=text("chat_id IS NOT NULL")),
    Index(
        "ix_ledger_entries_at",
        "at",
        postgresql_using="brin",
        postgresql_with={"autosummarize": "on"},
    ),
    comment="Every movement of credits; append-only",
)

opening_free_times: Final = Table(
    "opening_free_times",
    metadata,
    Column("user_id", Text, primary_key=True, comment="Whose account"),
    Column("number", BigInteger, primary_key=True, comment="Of the account's opening entry"),
    Column("scope", Text, primary_key=True, comment="Which chats share it: user, or advisor:<id>"),
    _ms("used_ms", "Free time used in another system"),
    Column("at", _MOMENT, nullable=False, comment="Queue time"),
    CheckConstraint("used_ms >= 0", name="used_ms"),
    CheckConstraint("number >= 1", name="number"),
    comment="Free time that accounts had used before their first command; append-only",
)

command_journal: Final = Table(
    "command_journal",
    metadata,
    # In the order of bytes, so that IDs of 13 digits, those of the years 2001 to 2286, are in order
    # of time, and ranges of them are months.
    Column(
        "stream_id",
        Text(collation="C"),
        nullable=False,
        comment="ID of the stream entry: its order",
    ),
    # Numbers, because as text 10-0 sorts before 9-0. A stream's second half has 64 bits unsigned,
    # one more than bigint has.
    Column("at_ms", BigInteger, nullable=False, comment="First half of stream_id: queue time"),
    Column("at_seq", Numeric(20, 0), nullable=False, comment="Second half of stream_id"),
    _text("user_id", "Whose account; null if the command names none", nullable=True),
    _text("chat_id", "Which chat; null if the command names none", nullable=True),
    Column("fields", JSONB, nullable=False, comment="The entry as it came"),
    _text("outcome", "ok, or the error it was answered with"),
    Column("replayed", Boolean, nullable=False, comment="A repeated id: no second effect"),
    # No foreign key: a row of the journal may not wait for one of another table.
    _text("policy_id", "The policy in force, see policies"),
    Column(
        "written_at",
        _MOMENT,
        nullable=False,
        server_default=func.now(),
        comment="When the row got here; of no meaning to the fold",
    ),
    Column("partition", Integer, nullable=False, server_default="0", comment="Of the queue"),
    PrimaryKeyConstraint("partition", "stream_id"),
    CheckConstraint("at_ms >= 0 AND at_seq >= 0", name="position"),
    CheckConstraint("stream_id = at_ms::text || '-' || at_seq::text", name="stream_id"),
    Index(None, "user_id", "at_ms", "at_seq"),
    Index(None, "at_ms", "at_seq"),
    comment="Every command and settle in the order of the fold; append-only",
    postgresql_partition_by="RANGE (stream_id)",
)
# What is in no month's partition comes in here, so that no row is ever refused for want of one.
_DEFAULT_PARTITION: Final = DDL(  # type: ignore[no-untyped-call]
    "CREATE TABLE command_journal_default PARTITION OF command_journal DEFAULT"
)
event.listen(command_journal, "after_create", _DEFAULT_PARTITION)

opening_states: Final = Table(
    "opening_states",
    metadata,
    Column("user_id", Text, primary_key=True, comment="Whose account"),
    Column(
        "cut_ms",
        BigInteger,
        primary_key=True,
        comment="Of the archive: the state is that before this",
    ),
    _text("applied", "The last entry that had its turn in the account"),
    Column("account", JSONB, nullable=False, comment="The account with its open chats"),
    Column("ended_chats", BigInteger, nullable=False, comment="Chats that had ended here"),
    _text("ended_digest", "Of their records as they were"),
    Column(
        "ledger_entries", BigInteger, nullable=False, comment="Entries of the ledger until then"
    ),
    _text("ledger_digest", "Of these"),
    _text("checksum", "Of the columns before"),
    comment="What accounts were at the end of an archive; append-only",
)

journal_archives: Final = Table(
    "journal_archives",
    metadata,
    Column(
        "cut_ms",
        BigInteger,
        primary_key=True,
        autoincrement=False,
        comment="It has the journal before this: queue time",
    ),
    Column(
        "from_ms",
        BigInteger,
        nullable=False,
        comment="End of the archive before it; 0 for the first",
    ),
    _text("name", "Of its folder"),
    _text("folder", "Where it was written"),
    Column("entries", BigInteger, nullable=False, comment="Rows of the journal in it"),
    _text("last_entry", "The last of them"),
    _text("manifest_sha256", "Of manifest.json"),
    Column("at", _MOMENT, nullable=False, server_default=func.now(), comment="When it was done"),
    Column(
        "last_entries",
        JSONB,
        nullable=False,
        server_default="{}",
        comment="The last entry of each partition of the queue; empty in older ones",
    ),
    comment="Archives whose rows are no longer in the journal; append-only",
)

policies: Final = Table(
    "policies",
    metadata,
    Column("policy_id", Text, primary_key=True, comment="Names this policy in command_journal"),
    Column("policy", JSONB, nullable=False, comment="The settings the fold depends on"),
    Column(
        "first_seen_at",
        _MOMENT,
        nullable=False,
        server_default=func.now(),
        comment="When this database first heard of it",
    ),
    comment="The operator's settings under which commands were decided",
)

# Where an audit finds who started a chat; small, because most commands are something else.
Index(
    "ix_command_journal_started",
    command_journal.c.chat_id,
    postgresql_where=text("outcome = 'ok' AND fields ->> 'type' IN ('start', 'adopt')"),
)

layout: Final = Table(
    "layout",
    metadata,
    Column("one_row", Boolean, primary_key=True, server_default=true(), comment="There is one"),
    Column(
        "partitions",
        Integer,
        nullable=False,
        comment="Into how many the accounts are shared out",
    ),
    CheckConstraint("one_row", name="one_row"),
    CheckConstraint(
        "partitions BETWEEN 1 AND 256 AND partitions & (partitions - 1) = 0", name="partitions"
    ),
    comment="How the data is laid out; written once, when it is made",
)

recorder_states: Final = Table(
    "recorder_states",
    metadata,
    Column("partition", Text, primary_key=True, comment="Which queue"),
    _text("memory_id", "Names the state of its Redis; another name is another Redis"),
    Column(
        "epoch",
        BigInteger,
        nullable=False,
        comment="The recorder's epoch; older ones may not write",
    ),
    Column(
        "outbox_ms", BigInteger, nullable=False, comment="Last outbox entry in here: first half"
    ),
    Column("outbox_seq", Numeric(20, 0), nullable=False, comment="Second half of it"),
    Column(
        "updated_at", _MOMENT, nullable=False, server_default=func.now(), comment="When that was"
    ),
    comment="How far the recorder is: if Redis knows less than this, it has lost state",
)

operations: Final = Table(
    "operations",
    metadata,
    Column("operation_id", Text, primary_key=True, comment="Same act, same id"),
    Column("at", _MOMENT, nullable=False, comment="When it was done"),
    _text("done_by", "Who did it, as they said"),
    _text("operation", "What was done, such as dead.retry"),
    _text("subject", "To what"),
    Column("details", JSONB, nullable=False, comment="What it was at the time"),
    Index(None, "at"),
    comment="What operators decided; append-only",
)

add_legacy_tables(metadata)  # migration seam
attach_triggers(metadata)
