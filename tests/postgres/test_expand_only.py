"""A release's migrations run while a daemon of the version before it records: they only expand."""

import itertools
from typing import Any, Final

import pytest
from alembic import command
from sqlalchemy import text

from persistence.postgres import migrate
from persistence.postgres.engine import make_engine
from tests.postgres.test_migrate import catalog

STOPPED: Final = "0012"
"""Up to this one an upgrade stopped the daemons (version 0.2)."""

CONTRACTS: Final[frozenset[str]] = frozenset()
"""Later ones that take away what the release before them has stopped using, by plan."""

Schema = dict[str, list[Any]]


def _shape(schema: Schema) -> tuple[set[Any], set[Any], set[Any], set[Any]]:
    """Tables, columns, what limits them, and what is done by the server; without comments."""
    tables = {row[:2] for row in schema["tables"]}
    columns = {(row[0], row[1], row[2], row[3], row[5]) for row in schema["columns"]}
    # Not null is a property of columns here, and a constraint besides from PostgreSQL 18 on.
    limits = {row for row in schema["constraints"] if not row[2].startswith("NOT NULL")}
    limits |= {row for row in schema["indexes"] if "UNIQUE" in row[2]}
    return tables, columns, limits, {*schema["triggers"], *schema["functions"]}


def contractions(before: Schema, after: Schema) -> list[str]:
    """What a daemon that knows the schema before can't work with any more."""
    tables, columns, limits, acts = _shape(before)
    new_tables, new_columns, new_limits, new_acts = _shape(after)
    known = {name for name, _ in tables}
    gone = (tables - new_tables) | (columns - new_columns) | (limits - new_limits) | acts - new_acts
    needed = {
        (table, column)
        for table, column, _, is_required, default in new_columns - columns
        if table in known and is_required and default is None
    }
    stricter = {row for row in (new_limits - limits) | (new_acts - acts) if row[0] in known}
    return sorted(map(str, gone | needed | stricter))


def _schemas(url: str) -> dict[str, Schema]:
    """What the schema was after each migration."""
    steps = [script.revision for script in migrate._scripts().walk_revisions()][::-1]
    engine, found = make_engine(url), {}
    for revision in steps:
        with engine.begin() as connection:
            command.upgrade(migrate.alembic_config(connection), revision)
            found[revision] = catalog(connection)
    engine.dispose()
    return found


def test_migrations_expand_the_schema_and_take_nothing_away(empty_url: str) -> None:
    """Since daemons of two versions may work side by side; docs/upgrading.md.

    0011 is one that took something away, and 0012 one that did not.
    """
    schemas = _schemas(empty_url)
    found = {b: contractions(schemas[a], schemas[b]) for a, b in itertools.pairwise(schemas)}
    later = {name: what for name, what in found.items() if name > STOPPED and what}
    assert later.keys() <= CONTRACTS, later
    assert any("pk_command_journal" in what for what in found["0011"])
    assert found["0012"] == []


CHANGES: Final = {
    "ALTER TABLE ledger_entries ADD COLUMN more integer": True,
    "ALTER TABLE ledger_entries ADD COLUMN more integer NOT NULL DEFAULT 1": True,
    "CREATE TABLE more (one integer PRIMARY KEY CHECK (one > 0))": True,
    "CREATE INDEX more ON ledger_entries (amount)": True,
    "COMMENT ON TABLE ledger_entries IS 'more'": True,
    "ALTER TABLE ledger_entries ADD COLUMN more integer NOT NULL": False,
    "ALTER TABLE ledger_entries DROP COLUMN amount": False,
    "ALTER TABLE ledger_entries RENAME COLUMN amount TO more": False,
    "ALTER TABLE ledger_entries ALTER COLUMN amount TYPE double precision": False,
    "ALTER TABLE ledger_entries ADD CONSTRAINT more CHECK (amount > 0)": False,
    "CREATE UNIQUE INDEX more ON ledger_entries (user_id)": False,
    "DROP TABLE journal_archives": False,
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_takes_something_away_is_noticed(url: str, change: str) -> None:
    engine = make_engine(url)
    with engine.begin() as connection:
        before = catalog(connection)
        connection.execute(text(change))
        found = contractions(before, catalog(connection))
    engine.dispose()
    assert (found == []) == CHANGES[change], found
