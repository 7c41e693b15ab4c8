"""Brings the schema up to date, and says what to do where it is not."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, func, select
from sqlalchemy.exc import OperationalError, ProgrammingError

from persistence.errors import SchemaError
from persistence.postgres.engine import make_engine
from persistence.postgres.partitions import ensure_partitions

# Of our own: the database may hold a backend's tables and its Alembic too.
VERSION_TABLE: Final = "meterd_schema_version"

# By package, so that it is found in an installed wheel as well.
_SCRIPTS: Final = "persistence.postgres:migrations"
# An arbitrary number, agreed on by all who upgrade: "meterd" in ASCII.
_LOCK: Final = int.from_bytes(b"meterd", "big")

_INSUFFICIENT_PRIVILEGE: Final = "42501"
_LOCK_NOT_AVAILABLE: Final = "55P03"
_LOCK_TIMEOUT_MS: Final = 3_000


def upgrade(url: str) -> str:
    """Bring the schema up to date, all or nothing, and give its revision.

    Two processes may do so at once: the second waits for the first and finds nothing to do.
    Threads may not, for different databases: what Alembic works on is global to the process.

    Raises:
        SchemaError: The schema was made by a newer meterd, or the role may not change it.
    """
    with _told_who_may(), _transaction(url) as connection:
        # Held until the commit, which also ends what it protects.
        connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
        _refuse_newer(_found(connection))
        command.upgrade(alembic_config(connection), "head")
        revision = _found(connection) or ""
    _make_partitions(url)
    return revision


def _make_partitions(url: str) -> None:
    """Make the journal's partitions for the months that are near, unless somebody is in the way.

    Where none is made, rows come into the default one, and the next upgrade or archive makes it.
    """
    try:
        with _transaction(url) as connection:
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = {_LOCK_TIMEOUT_MS}")
            connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
            ensure_partitions(connection, time.time_ns() // 1_000_000)
    except OperationalError as error:
        if getattr(error.orig, "pgcode", None) != _LOCK_NOT_AVAILABLE:
            raise


def current_revision(url: str) -> str | None:
    """Give the revision of the database's schema; None where there is none."""
    with _transaction(url) as connection:
        return _found(connection)


def head_revision() -> str:
    """Give the revision that this meterd works with."""
    head = _scripts().get_current_head()
    assert head is not None, "the package has its migrations"
    return head


def check(url: str) -> None:
    """Make sure that the schema is the one that this meterd works with.

    Raises:
        SchemaError: It is missing, older or newer; the message says what to do.
    """
    found = current_revision(url)
    head = head_revision()
    if found is None:
        raise SchemaError("the database has no meterd schema yet: run `meterd db upgrade`")
    _refuse_newer(found)
    if found != head:
        raise SchemaError(
            f"the database's schema is {found}, older than {head}: run `meterd db upgrade`"
        )


def alembic_config(connection: Connection | None = None) -> Config:
    """Give Alembic's configuration, without a file; commands work on the connection."""
    config = Config(attributes={"connection": connection, "version_table": VERSION_TABLE})
    config.set_main_option("script_location", _SCRIPTS)
    config.set_main_option("path_separator", "os")
    return config


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(alembic_config())


def _found(connection: Connection) -> str | None:
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    return context.get_current_revision()


def _refuse_newer(found: str | None) -> None:
    known = {script.revision for script in _scripts().walk_revisions()}
    if found is not None and found not in known:
        raise SchemaError(
            f"the database's schema is {found}, which is newer than this meterd knows"
            f" ({head_revision()}): install the meterd that ran `meterd db upgrade` on it"
        )


@contextmanager
def _told_who_may() -> Iterator[None]:
    try:
        yield
    except ProgrammingError as error:
        if getattr(error.orig, "pgcode", None) != _INSUFFICIENT_PRIVILEGE:
            raise
        why = str(error.orig).strip().splitlines()[0]
        raise SchemaError(
            f"the database's schema is not {head_revision()}, and this role may not change it"
            f" ({why}): run `meterd db upgrade` as the owner of the tables"
        ) from None


@contextmanager
def _transaction(url: str) -> Iterator[Connection]:
    engine = make_engine(url, pool_size=1)
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()
