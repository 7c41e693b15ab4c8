"""Migrations make what the tables say, once, and the check says what to do."""

import re
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from itertools import pairwise
from multiprocessing import get_context
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Engine, make_url, text
from sqlalchemy.exc import DBAPIError

from actors.recorder import is_refusal
from persistence.errors import SchemaError
from persistence.postgres import migrate
from persistence.postgres.engine import make_engine
from persistence.postgres.partitions import (
    MONTHS_AHEAD,
    drop_partitions,
    ensure_partitions,
    partitions,
)
from persistence.postgres.tables import metadata

_PARTITION = re.compile(r"command_journal_(default|\d{4}_\d\d)")

# Everything in the schema that somebody could have made, as PostgreSQL itself words it.
CATALOG = {
    "storage": """
        SELECT relname, reloptions::text FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND reloptions IS NOT NULL""",
    "columns": """
        SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attnum,
               pg_get_expr(d.adbin, d.adrelid), col_description(c.oid, a.attnum)
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
             AND NOT a.attisdropped
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')""",
    "tables": """
        SELECT relname, relkind::text, obj_description(oid, 'pg_class')
        FROM pg_class WHERE relnamespace = 'public'::regnamespace""",
    "constraints": """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace""",
    "indexes": "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
    "triggers": """
        SELECT tgrelid::regclass::text, tgname, pg_get_triggerdef(oid)
        FROM pg_trigger WHERE NOT tgisinternal""",
    "functions": """
        SELECT proname, regexp_replace(prosrc, '\\s+', ' ', 'g'), provolatile::text
        FROM pg_proc WHERE pronamespace = 'public'::regnamespace""",
}


def catalog(connection: Connection) -> dict[str, list[Any]]:
    """What there is, Alembic's own table aside, and partitions: those depend on the day."""
    return {
        kind: sorted(
            (tuple(row) for row in connection.execute(text(sql)) if _ours(row[:2])), key=str
        )
        for kind, sql in CATALOG.items()
    }


def _ours(names: Any) -> bool:
    return not any(
        migrate.VERSION_TABLE in str(name) or _PARTITION.match(str(name)) for name in names
    )


def _is_no_partition(name: str | None, kind: str, _parents: Any) -> bool:
    return kind != "table" or not _PARTITION.match(name or "")


def test_migrations_from_nothing_make_what_the_tables_say(empty_url: str, other_url: str) -> None:
    migrate.upgrade(empty_url)
    with make_engine(other_url).begin() as by_tables:
        metadata.create_all(by_tables)
        wanted = catalog(by_tables)
    with make_engine(empty_url).connect() as by_migrations:
        assert catalog(by_migrations) == wanted
    assert all(wanted.values())
    assert len(wanted["triggers"]) == 9


def test_alembic_finds_no_difference(url: str) -> None:
    options: dict[str, Any] = {
        "version_table": migrate.VERSION_TABLE,
        "compare_type": True,
        "compare_server_default": True,
    }
    options["include_name"] = _is_no_partition
    with make_engine(url).connect() as connection:
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []


def test_downgrade_to_base_leaves_nothing(empty_url: str) -> None:
    """Nothing but Alembic's own table, without a row."""
    engine = make_engine(empty_url)
    with engine.connect() as connection:
        before = catalog(connection)
    migrate.upgrade(empty_url)
    with engine.begin() as connection:
        command.downgrade(migrate.alembic_config(connection), "base")
    with engine.connect() as connection:
        assert catalog(connection) == before
        assert not any(before.values())
        count = text(f"SELECT count(*) FROM {migrate.VERSION_TABLE}")
        assert connection.scalar(count) == 0
    assert migrate.upgrade(empty_url) == migrate.head_revision()


def test_each_downgrade_restores_what_was_before(empty_url: str) -> None:
    """Every step back leads to the schema from which its step forward came."""
    steps = [script.revision for script in migrate._scripts().walk_revisions()][::-1]
    engine, before = make_engine(empty_url), list[Any]()
    for revision in steps:
        with engine.begin() as connection:
            command.upgrade(migrate.alembic_config(connection), revision)
            before.append(catalog(connection))
    for revision, schema in zip(steps[-2::-1], before[-2::-1], strict=True):
        with engine.begin() as connection:
            command.downgrade(migrate.alembic_config(connection), revision)
            assert catalog(connection) == schema
    engine.dispose()


def test_dropping_by_the_tables_leaves_nothing(empty_url: str) -> None:
    with make_engine(empty_url).begin() as connection:
        metadata.create_all(connection)
        metadata.drop_all(connection)
        assert not any(catalog(connection).values())


def test_upgrades_at_once_do_not_disturb_each_other(empty_url: str) -> None:
    with ProcessPoolExecutor(3, mp_context=get_context("spawn")) as processes:
        revisions = list(processes.map(migrate.upgrade, [empty_url] * 3))
    assert revisions == [migrate.head_revision()] * 3


def test_a_second_upgrade_waits_for_the_first(empty_url: str) -> None:
    with make_engine(empty_url).begin() as first, ThreadPoolExecutor(1) as threads:
        first.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": migrate._LOCK})
        second = threads.submit(migrate.upgrade, empty_url)
        with pytest.raises(TimeoutError):
            second.result(timeout=1)
        first.rollback()
        assert second.result(timeout=10) == migrate.head_revision()


def test_an_upgrade_that_fails_changes_nothing(empty_url: str) -> None:
    engine = make_engine(empty_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE policies (somebody_elses int)"))
    with pytest.raises(Exception, match="already exists"):
        migrate.upgrade(empty_url)
    with engine.connect() as connection:
        assert [name for name, *_ in catalog(connection)["tables"]] == ["policies"]
    assert migrate.current_revision(empty_url) is None


def test_the_check_passes_on_the_head(url: str) -> None:
    assert migrate.current_revision(url) == migrate.head_revision()
    migrate.check(url)


def test_a_missing_schema_is_named(empty_url: str) -> None:
    assert migrate.current_revision(empty_url) is None
    with pytest.raises(SchemaError, match="no meterd schema yet: run `meterd db upgrade`"):
        migrate.check(empty_url)


def _pretend(url: str, revision: str) -> None:
    with make_engine(url).begin() as connection:
        connection.execute(text(f"UPDATE {migrate.VERSION_TABLE} SET version_num = '{revision}'"))


def test_a_newer_schema_is_named_and_not_upgraded(url: str) -> None:
    _pretend(url, "9999")
    for refuses in (migrate.check, migrate.upgrade):
        with pytest.raises(SchemaError, match=r"9999, .* newer .*`meterd db upgrade`"):
            refuses(url)


def test_an_older_schema_is_named(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    head = migrate.head_revision()
    monkeypatch.setattr(migrate, "head_revision", lambda: "9999")
    with pytest.raises(SchemaError, match=f"{head}, older than 9999: run"):
        migrate.check(url)


OLD_ROWS = """
INSERT INTO command_journal
SELECT at_ms || '-' || n, at_ms, n, 'u', NULL, '{}', 'ok', false, 'p'
FROM generate_series(1, 50) AS n, LATERAL (SELECT 1700000000000 + n * 86400000::bigint) AS t(at_ms)
"""


def test_a_journal_of_before_becomes_a_partition(empty_url: str) -> None:
    """Rows and rights are what they were, new rows go elsewhere, and nothing was written anew."""
    engine = make_engine(empty_url)
    role = f"reads_{make_url(empty_url).database}"
    with engine.begin() as connection:
        command.upgrade(migrate.alembic_config(connection), "0010")
        connection.execute(text(OLD_ROWS))
        connection.execute(text(f"CREATE ROLE {role}; GRANT SELECT ON command_journal TO {role}"))
        rows = connection.execute(text(f"SELECT {JOURNAL} FROM command_journal")).all()
        file = connection.scalar(text("SELECT pg_relation_filenode('command_journal')"))
    migrate.upgrade(empty_url)
    with engine.begin() as connection:
        old, *months = partitions(connection)
        assert (old.name, old.from_ms) == ("command_journal_to_2024_02", 0)
        assert len(months) == MONTHS_AHEAD + 1
        kept = text(f"SELECT {JOURNAL} FROM {old.name}")
        assert connection.execute(kept).all() == rows
        assert connection.scalar(text(f"SELECT pg_relation_filenode('{old.name}')")) == file
        may = text("SELECT has_table_privilege(:role, 'command_journal', 'SELECT')")
        assert connection.scalar(may, {"role": role})
        add = "INSERT INTO command_journal SELECT :ms || '-0', :ms, 0, 'u', NULL, '{}', 'ok', false"
        for at_ms in (old.to_ms, months[0].from_ms, 9):
            connection.execute(text(f"{add}, 'p'"), {"ms": at_ms})
        where = text("SELECT count(*) FROM ONLY command_journal_default")
        assert connection.scalar(where) == 2
        connection.execute(text(f"DROP OWNED BY {role}; DROP ROLE {role}"))
    engine.dispose()


JOURNAL = (
    "stream_id, at_ms, at_seq, user_id, chat_id, fields, outcome, replayed, policy_id, written_at"
)


def test_what_came_without_a_month_gets_a_partition_of_its_own(engine: Engine) -> None:
    """Nobody had made the months in time: they are made around what is there, at the next one."""
    with engine.begin() as connection:
        drop_partitions(connection, [one.name for one in partitions(connection)])
        connection.execute(text(OLD_ROWS))
        now_ms = 1_700_000_000_000 + 50 * 86_400_000
        made = ensure_partitions(connection, now_ms)
        assert made[0] == "command_journal_to_2024_02"
        assert made[1:] == [f"command_journal_2024_0{month}" for month in (2, 3, 4)]
        assert ensure_partitions(connection, now_ms) == []
        connection.execute(text(OLD_ROWS.replace("1700000000000", "1720000000000")))
        later = ensure_partitions(connection, now_ms)
        assert later == ["command_journal_to_2024_09"]
        bounds = [(one.from_ms, one.to_ms) for one in partitions(connection)]
        assert all(one[1] <= other[0] for one, other in pairwise(bounds))
        assert connection.scalar(text("SELECT count(*) FROM command_journal")) == 100


def test_an_upgrade_waits_for_no_reader(url: str) -> None:
    """Somebody reads the journal: months are made another time, and the upgrade is over."""
    engine = make_engine(url)
    with engine.begin() as connection:
        drop_partitions(connection, [one.name for one in partitions(connection)])
    with engine.connect() as reading:
        reading.execute(text("LOCK TABLE command_journal IN ACCESS SHARE MODE"))
        assert migrate.upgrade(url) == migrate.head_revision()
        assert partitions(reading) == []
    migrate.upgrade(url)
    with engine.connect() as connection:
        assert len(partitions(connection)) == MONTHS_AHEAD + 1
    engine.dispose()


def test_the_recorder_of_0_2_waits_for_its_end(engine: Engine) -> None:
    """What it sends is refused for want of its key, not for what is in it: nothing is set aside."""
    statement = text(
        "INSERT INTO command_journal (stream_id) SELECT '1-0' ON CONFLICT (stream_id) DO NOTHING"
    )
    with engine.connect() as connection, pytest.raises(DBAPIError, match="ON CONFLICT") as caught:
        connection.execute(statement)
    assert not is_refusal(caught.value)
