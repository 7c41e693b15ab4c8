"""What the database itself refuses, whatever program writes to it."""

from typing import Final

from sqlalchemy import DDL, MetaData, Table, event

# One function for all triggers; the trigger says what rule was broken.
_CREATE_FUNCTION: Final = """
CREATE OR REPLACE FUNCTION meterd_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%: % refused', TG_ARGV[0], TG_OP USING ERRCODE = 'restrict_violation';
END
$$
"""
_DROP_FUNCTION: Final = "DROP FUNCTION IF EXISTS meterd_refuse()"

_APPEND_ONLY: Final = """
CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}
FOR EACH STATEMENT EXECUTE FUNCTION meterd_refuse('{table} is append-only')
"""
# WHEN is judged without calling the function, so an honest update pays next to nothing.
_RECORD: Final = """
CREATE TRIGGER chat_time_records_{name} BEFORE UPDATE ON chat_time_records
FOR EACH ROW WHEN ({broken}) EXECUTE FUNCTION meterd_refuse('chat_time_records {rule}')
"""
# A record that was imported, and to which nothing has happened, gives way: a refund may have
# been decided by what it was before a run of `meterd legacy migrate` wrote it again.
_IDENTITY_BROKEN: Final = (
    "NEW.chat_id <> OLD.chat_id OR (OLD.source <> 'migrated' OR OLD.seq > 1)"
    " AND (NEW.user_id <> OLD.user_id OR NEW.started_at <> OLD.started_at)"
)


def _ddl(sql: str) -> DDL:
    # DDL() formats with %, which these texts use as PL/pgSQL does.
    return DDL(sql.replace("%", "%%"))  # type: ignore[no-untyped-call]


def _append_only(table: str) -> str:
    return _APPEND_ONLY.format(table=table)


def _record(name: str, rule: str, broken: str) -> str:
    return _RECORD.format(name=name, rule=rule, broken=broken)


TRIGGERS: Final = {
    "chat_time_records": (
        _record("seq", "never go back in seq", "NEW.seq < OLD.seq"),
        _record("identity", "keep their chat, user and start", _IDENTITY_BROKEN),
        _record("final", "stay ended", "OLD.status = 'ended' AND NEW.status <> 'ended'"),
    ),
    "ledger_entries": (_append_only("ledger_entries"),),
    "command_journal": (_append_only("command_journal"),),
    "operations": (_append_only("operations"),),
    "opening_free_times": (_append_only("opening_free_times"),),
    "opening_states": (_append_only("opening_states"),),
    "journal_archives": (_append_only("journal_archives"),),
}


def attach_triggers(metadata: MetaData) -> None:
    """Make ``metadata.create_all`` and ``drop_all`` take the triggers along."""
    event.listen(metadata, "before_create", _ddl(_CREATE_FUNCTION))
    event.listen(metadata, "after_drop", _ddl(_DROP_FUNCTION))
    for name, statements in TRIGGERS.items():
        _attach(metadata.tables[name], statements)


def _attach(table: Table, statements: tuple[str, ...]) -> None:
    for sql in statements:
        event.listen(table, "after_create", _ddl(sql))
