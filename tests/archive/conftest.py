"""A database to archive, and what archives and audits make of it. All tests need PostgreSQL."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from daemon.archive.files import read_manifest
from daemon.archive.run import Archiver
from daemon.archive.verify import Verification
from daemon.audit.differences import Difference, Findings
from daemon.audit.run import Audit, Scope
from meterd.rules.partitions import Partition
from persistence.postgres.layout import fetch_partitions
from persistence.postgres.recorder_state import fetch_position
from tests.archive.filling import CUT_MS, fill, lives


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.postgres)


@pytest.fixture
def filled(engine: Engine) -> Engine:
    """Two users, with a partition up to the cut."""
    fill(engine, lives(), (CUT_MS,))
    return engine


def archive(engine: Engine, to: Path, before_ms: int, **options: Any) -> Path:
    """Archive what is before a millisecond; give the folder."""
    archiver = Archiver(engine, fail_on_difference, **options)
    plan = archiver.plan(before_ms)
    assert plan is not None, "there is something to archive"
    return Path(archiver.run(plan, to, "ann").folder)


def verified(folder: Path) -> list[Difference]:
    """What folding an archive again finds."""
    found: list[Difference] = []
    Verification(folder, read_manifest(folder)[0], found.append).run()
    return found


def audited(engine: Engine) -> list[Difference]:
    """What an audit of Postgres alone finds, of all partitions."""
    found: list[Difference] = []
    with engine.connect() as connection:
        partitions = fetch_partitions(connection) or 1
    for number in range(partitions):
        one = Partition(number, partitions)
        Audit(engine, None, Findings(found.append), partition=one).run(Scope())
    return found


def last_entries(engine: Engine) -> list[str]:
    """Those of each partition, as a daemon compares them with Redis before it begins."""
    with engine.connect() as connection:
        partitions = fetch_partitions(connection) or 1
        return [fetch_position(connection, number).journal for number in range(partitions)]


def count_rows(engine: Engine, table: str) -> int:
    """How many rows a table has."""
    with engine.connect() as connection:
        return int(connection.scalar(text(f"SELECT count(*) FROM {table}")) or 0)


def run_sql(engine: Engine, statement: str) -> None:
    """Change what the tables guard against, too."""
    with engine.begin() as connection:
        connection.execute(text("SET session_replication_role = replica"))
        connection.execute(text(statement))


def fail_on_difference(difference: Difference) -> None:
    """For an archiver that is to find none."""
    raise AssertionError(difference)
