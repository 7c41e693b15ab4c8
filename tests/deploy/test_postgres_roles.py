"""Each role of ``deploy/postgres-roles.sql`` has the rights that it needs, and no others."""

import contextlib
from collections.abc import Iterator
from typing import Final

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import ProgrammingError

from meterd._records import Records
from persistence.errors import SchemaError
from persistence.postgres import migrate
from persistence.postgres.engine import make_engine
from persistence.postgres.tables import metadata
from tests.deploy.postgres import ROLES, Roles, roles_in

pytestmark = pytest.mark.postgres

RIGHTS: Final = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")
TABLES: Final = (*metadata.tables, migrate.VERSION_TABLE)
OWNERS: Final = {name: set[str]() for name in TABLES if name.startswith("legacy_")}
"""`meterd legacy` is run by who owns the tables: what it keeps is nobody else's."""
ADDED: Final = {"SELECT", "INSERT"}
READ: Final = {table: {"SELECT"} for table in TABLES} | OWNERS

EXPECTED: Final[dict[str, dict[str, set[str]]]] = {
    "daemon": dict.fromkeys(TABLES, ADDED)
    | dict.fromkeys(("chat_time_records", "recorder_states"), ADDED | {"UPDATE"})
    | {name: {"SELECT"} for name in ("opening_states", "journal_archives", migrate.VERSION_TABLE)}
    | OWNERS,
    "gateway": READ,
    "operator": READ,
    "backend": {"chat_time_records": {"SELECT"}},
    "recovery": READ | {"recorder_states": {"SELECT", "UPDATE"}, "operations": ADDED},
}


@pytest.fixture
def roles(url: str) -> Iterator[Roles]:
    with roles_in(url) as found:
        yield found


def test_a_role_has_the_rights_that_it_needs_and_no_others(roles: Roles) -> None:
    """On every table that there is: a new one has to be thought of."""
    engine = make_engine(roles.owner_url)
    ask = text("SELECT has_table_privilege(:role, :table, :right)")
    with engine.connect() as connection:
        for role in ROLES:
            for table in TABLES:
                has = {
                    right
                    for right in RIGHTS
                    if connection.scalar(
                        ask, {"role": roles.name(role), "table": table, "right": right}
                    )
                }
                assert has == EXPECTED[role].get(table, set()), (role, table)
    engine.dispose()


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO policies (policy_id, policy) VALUES ('p', '{}')",
        "UPDATE chat_time_records SET cost = 0",
        "DELETE FROM operations",
        "TRUNCATE ledger_entries",
        "DROP TABLE policies",
        "ALTER TABLE ledger_entries DISABLE TRIGGER ALL",
        "CREATE TABLE mine (a int)",
        "DROP FUNCTION meterd_refuse() CASCADE",
    ],
)
@pytest.mark.parametrize("role", ["gateway", "backend", "operator"])
def test_who_reads_can_only_read(roles: Roles, role: str, statement: str) -> None:
    """Whatever else is tried, the database refuses for want of a right."""
    engine = make_engine(roles.url(role))
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM chat_time_records")) == 0
        with pytest.raises(ProgrammingError, match=r"permission denied|must be owner"):
            connection.execute(text(statement))
    engine.dispose()


def test_the_clients_reads_are_what_a_backend_may(roles: Roles) -> None:
    """A chat that Redis has no more is looked up by the client with the backend's role."""
    statement = text(
        "INSERT INTO chat_time_records SELECT 'c', 'u', 'v', 'ended', t, t, 'ended', NULL,"
        " 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 'live', 1, t FROM (SELECT now() AS t) AS moment"
    )
    engine = make_engine(roles.owner_url)
    with engine.begin() as connection:
        connection.execute(statement)
    engine.dispose()
    with contextlib.closing(Records(roles.url("backend"))) as records:
        found = records.fetch("c")
    assert found is not None
    assert found.status == "ended"


def test_a_daemon_that_may_not_upgrade_says_who_may(empty_url: str, roles: Roles) -> None:
    """A role without rights on an old schema is told what to do, in one line."""
    parsed = make_url(empty_url)
    stranger = make_url(roles.url("daemon")).set(database=parsed.database)
    with pytest.raises(SchemaError, match="`meterd db upgrade` as the owner"):
        migrate.upgrade(stranger.render_as_string(hide_password=False))
