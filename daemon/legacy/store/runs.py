"""The runs that bring old records over: where each is, and that there is one at a time."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Engine

from daemon.legacy.errors import LegacyError
from daemon.legacy.store.reader import PairKey
from persistence.postgres.convert import json_text

# An arbitrary number, agreed on by all who bring over: "legacy" in ASCII.
_LOCK: Final = int.from_bytes(b"legacy", "big")
_FIELDS: Final = "run_id, policy, counts, place_user_id, place_advisor_id, finished_at IS NOT NULL"
_LAST: Final = f"SELECT {_FIELDS} FROM legacy_runs ORDER BY run_id DESC LIMIT 1 FOR UPDATE"  # noqa: S608
_PLAIN_LAST: Final = _LAST.removesuffix(" FOR UPDATE")
_ONE: Final = f"SELECT {_FIELDS} FROM legacy_runs WHERE run_id = %s FOR UPDATE"  # noqa: S608 - above
_NEW: Final = f"""
INSERT INTO legacy_runs (run_id, policy, started_at, counts)
SELECT coalesce(max(run_id), 0) + 1, %s, now(), '{{}}' FROM legacy_runs
RETURNING {_FIELDS}"""  # noqa: S608 - names from above
_PLACE: Final = """
UPDATE legacy_runs SET counts = %s::jsonb, place_user_id = %s, place_advisor_id = %s
WHERE run_id = %s"""
_ALL: Final = f"SELECT {_FIELDS}, started_at, finished_at FROM legacy_runs ORDER BY run_id"  # noqa: S608
_FINISH: Final = """
UPDATE legacy_runs SET finished_at = coalesce(finished_at, now()), counts = %s::jsonb
WHERE run_id = %s"""


class MigrationRun(NamedTuple):
    """A run, as it is written down."""

    run_id: int
    policy: str
    counts: dict[str, Any]
    place: PairKey | None
    """The last pair done."""
    is_finished: bool


@contextmanager
def exclusive_lock(engine: Engine) -> Iterator[None]:
    """For as long as this goes on, nobody else brings over, or takes out, in this database.

    Raises:
        LegacyError: Somebody else does.
    """
    with engine.connect() as connection:
        # Of the session, not of a transaction: there are many of those, and this one is idle.
        connection.execution_options(isolation_level="AUTOCOMMIT")
        locked = connection.exec_driver_sql("SELECT pg_try_advisory_lock(%s)", (_LOCK,)).scalar()
        if not locked:
            raise LegacyError("another `meterd legacy` is writing to this database: wait for it")
        try:
            yield
        finally:
            connection.exec_driver_sql("SELECT pg_advisory_unlock(%s)", (_LOCK,))


def last_run(connection: Connection) -> MigrationRun | None:
    """Give the latest run."""
    return _run(connection.exec_driver_sql(_PLAIN_LAST).one_or_none())


def fetch_runs(connection: Connection) -> list[tuple[MigrationRun, datetime, datetime | None]]:
    """Give all of them, the first first: each with when it began and when it was finished."""
    found = []
    for row in connection.exec_driver_sql(_ALL):
        run = _run(row)
        assert run is not None, "it is there"
        found.append((run, row[6], row[7]))
    return found


def hold_last_run(connection: Connection) -> MigrationRun | None:
    """Give the latest run, and keep it until the transaction ends.

    The last commit of a process that was killed may still be on its way: this waits for it.
    """
    return _run(connection.exec_driver_sql(_LAST).one_or_none())


def hold_run(connection: Connection, run_id: int) -> MigrationRun | None:
    """Give a run by its number, and keep it until the transaction ends."""
    return _run(connection.exec_driver_sql(_ONE, (run_id,)).one_or_none())


def new_run(connection: Connection, policy: str) -> MigrationRun:
    """Begin one."""
    run = _run(connection.exec_driver_sql(_NEW, (policy,)).one())
    assert run is not None, "it was just written"
    return run


def set_place(connection: Connection, run: MigrationRun) -> None:
    """Write down how far the run is."""
    place = run.place or (None, None)
    connection.exec_driver_sql(_PLACE, (json_text(run.counts), *place, run.run_id))


def finish_run(connection: Connection, run_id: int, counts: Mapping[str, Any]) -> None:
    """Write down that the run is done."""
    connection.exec_driver_sql(_FINISH, (json_text(counts), run_id))


def _run(row: Any) -> MigrationRun | None:
    if row is None:
        return None
    place = None if row[3] is None else (row[3], row[4])
    return MigrationRun(
        run_id=row[0], policy=row[1], counts=row[2], place=place, is_finished=row[5]
    )
