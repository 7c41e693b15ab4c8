"""The journal in partitions by time, its key with the queue's partition; archives of it.

The table that was there is not rewritten: it becomes the default partition of a new one. Its key's
index is built again, and two of its checks are validated again, under a lock that makes writers
wait; docs/retention.md has the time.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_JOURNAL = "command_journal"
_DEFAULT = "command_journal_default"
_INDEXES = {
    "ix_command_journal_user_id_at_ms_at_seq": ("user_id", "at_ms", "at_seq"),
    "ix_command_journal_at_ms_at_seq": ("at_ms", "at_seq"),
    "ix_command_journal_started": ("chat_id",),
}
_STARTED = sa.text("outcome = 'ok' AND fields ->> 'type' IN ('start', 'adopt')")
_APPEND_ONLY = """
CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}
FOR EACH STATEMENT EXECUTE FUNCTION meterd_refuse('{table} is append-only')
"""
_COMMENT = "Every command and settle in the order of the fold; append-only"
_NEW_COMMENTS = (
    "How far the recorder is: if Redis knows less than this, it has lost state",
    "Names the state of its Redis; another name is another Redis",
    "The recorder''s epoch; older ones may not write",
)
_OLD_COMMENTS = (
    "How far the recorder is: if Redis knows less than this, it has lost its memory",
    "Names what its Redis remembers; another name is another Redis",
    "The recorder in office; older may not write",
)
# The new table has none of the rights that were given on the one that is a partition now.
_GRANT = """
DO $$
DECLARE
    given record;
BEGIN
    FOR given IN
        SELECT a.privilege_type AS what,
               CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS who
        FROM pg_class c, aclexplode(c.relacl) a
        WHERE c.oid = 'command_journal_default'::regclass AND a.grantee <> c.relowner
    LOOP
        EXECUTE format('GRANT %s ON command_journal TO %s', given.what, given.who);
    END LOOP;
END
$$
"""


def upgrade() -> None:
    _old_becomes_default()
    _create_partitioned()
    _create_opening_states()
    _create_archives()
    _comment_recorder_states(*_NEW_COMMENTS)


def downgrade() -> None:
    """Put the rows that are left into one table; what was archived stays where it is."""
    _comment_recorder_states(*_OLD_COMMENTS)
    op.drop_table("journal_archives")
    op.drop_table("opening_states")
    op.execute(f"ALTER TABLE {_JOURNAL} RENAME TO partitioned_journal")
    for name in ("pk_command_journal", *_INDEXES):
        op.execute(f"ALTER INDEX {name} RENAME TO partitioned_{name}")
    including = "INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING COMMENTS"
    op.execute(f"CREATE TABLE {_JOURNAL} (LIKE partitioned_journal {including})")
    op.execute("INSERT INTO command_journal SELECT * FROM partitioned_journal")
    op.execute("DROP TABLE partitioned_journal")
    op.execute(f"ALTER TABLE {_JOURNAL} DROP COLUMN partition")
    op.execute(f"ALTER TABLE {_JOURNAL} ALTER COLUMN stream_id TYPE text")
    op.create_primary_key(op.f("pk_command_journal"), _JOURNAL, ["stream_id"])
    _create_indexes()
    op.execute(f"COMMENT ON TABLE {_JOURNAL} IS '{_COMMENT}'")
    op.execute(_APPEND_ONLY.format(table=_JOURNAL))


def _comment_recorder_states(table: str, memory_id: str, epoch: str) -> None:
    op.execute(f"COMMENT ON TABLE recorder_states IS '{table}'")
    op.execute(f"COMMENT ON COLUMN recorder_states.memory_id IS '{memory_id}'")
    op.execute(f"COMMENT ON COLUMN recorder_states.epoch IS '{epoch}'")


def _old_becomes_default() -> None:
    # First the key goes, so that its index is not built for the other order of texts as well.
    op.drop_constraint("pk_command_journal", _JOURNAL, type_="primary")
    op.execute(f'ALTER TABLE {_JOURNAL} ALTER COLUMN stream_id TYPE text COLLATE "C"')
    op.execute(f"ALTER TABLE {_JOURNAL} ADD COLUMN partition integer NOT NULL DEFAULT 0")
    op.execute(f"COMMENT ON COLUMN {_JOURNAL}.partition IS 'Of the queue'")
    op.execute(f"ALTER TABLE {_JOURNAL} RENAME TO {_DEFAULT}")
    for name, columns in _INDEXES.items():
        op.execute(f"ALTER INDEX {name} RENAME TO {_DEFAULT}_{'_'.join(columns)}_idx")
    op.create_primary_key(op.f(f"{_DEFAULT}_pkey"), _DEFAULT, ["partition", "stream_id"])


def _create_partitioned() -> None:
    including = "INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING COMMENTS"
    op.execute(
        f"CREATE TABLE {_JOURNAL} (LIKE {_DEFAULT} {including}) PARTITION BY RANGE (stream_id)"
    )
    op.execute(f"COMMENT ON TABLE {_JOURNAL} IS '{_COMMENT}'")
    op.create_primary_key(op.f("pk_command_journal"), _JOURNAL, ["partition", "stream_id"])
    _create_indexes()
    op.execute(f"ALTER TABLE {_JOURNAL} ATTACH PARTITION {_DEFAULT} DEFAULT")
    op.execute(_APPEND_ONLY.format(table=_JOURNAL))
    op.execute(_GRANT)


def _create_indexes() -> None:
    for name, columns in _INDEXES.items():
        where = _STARTED if name == "ix_command_journal_started" else None
        op.create_index(name, _JOURNAL, list(columns), postgresql_where=where)


def _create_opening_states() -> None:
    op.create_table(
        "opening_states",
        _column("user_id", sa.Text(), "Whose account"),
        _column("cut_ms", sa.BigInteger(), "Of the archive: the state is that before this"),
        _column("applied", sa.Text(), "The last entry that had its turn in the account"),
        _column("account", postgresql.JSONB(), "The account with its open chats"),
        _column("ended_chats", sa.BigInteger(), "Chats that had ended here"),
        _column("ended_digest", sa.Text(), "Of their records as they were"),
        _column("ledger_entries", sa.BigInteger(), "Entries of the ledger until then"),
        _column("ledger_digest", sa.Text(), "Of these"),
        _column("checksum", sa.Text(), "Of the columns before"),
        sa.PrimaryKeyConstraint("user_id", "cut_ms", name=op.f("pk_opening_states")),
        comment="What accounts were at the end of an archive; append-only",
    )
    op.execute(_APPEND_ONLY.format(table="opening_states"))


def _create_archives() -> None:
    op.create_table(
        "journal_archives",
        sa.Column(
            "cut_ms",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="It has the journal before this: queue time",
        ),
        _column("from_ms", sa.BigInteger(), "End of the archive before it; 0 for the first"),
        _column("name", sa.Text(), "Of its folder"),
        _column("folder", sa.Text(), "Where it was written"),
        _column("entries", sa.BigInteger(), "Rows of the journal in it"),
        _column("last_entry", sa.Text(), "The last of them"),
        _column("manifest_sha256", sa.Text(), "Of manifest.json"),
        _column("at", sa.DateTime(timezone=True), "When it was done", server_default=sa.func.now()),
        sa.PrimaryKeyConstraint("cut_ms", name=op.f("pk_journal_archives")),
        comment="Archives whose rows are no longer in the journal; append-only",
    )
    op.execute(_APPEND_ONLY.format(table="journal_archives"))


def _column(name: str, type_: Any, comment: str, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, type_, nullable=False, comment=comment, **options)
