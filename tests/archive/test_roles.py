"""Who may archive, and what the daemon may still do afterwards."""

from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from daemon.archive.run import Archiver
from daemon.errors import ArchiveError
from persistence.postgres.engine import make_engine
from tests.archive.conftest import archive, fail_on_difference
from tests.archive.filling import CUT_MS, DAY_MS
from tests.deploy.postgres import roles_in
from tests.rules.strategies import T0


def test_only_the_owner_archives(filled: Engine) -> None:
    """The daemon's role, and all others, are refused before anything is done."""
    with roles_in(filled.url.render_as_string(hide_password=False)) as roles:
        for role in ("daemon", "operator", "recovery"):
            engine = make_engine(roles.url(role))
            with pytest.raises(ArchiveError, match="as the owner of the tables"):
                Archiver(engine, fail_on_difference).plan(CUT_MS)
            engine.dispose()


def test_the_daemons_role_writes_on_after_an_archive(filled: Engine, tmp_path: Path) -> None:
    """Into months, and into the default partition, and it deletes from none."""
    archive(filled, tmp_path, CUT_MS)
    with roles_in(filled.url.render_as_string(hide_password=False)) as roles:
        engine = make_engine(roles.url("daemon"))
        for at_ms in (T0 + 10_000 * DAY_MS, 9):
            with engine.begin() as connection:
                connection.execute(
                    text(
                        "INSERT INTO command_journal (stream_id, at_ms, at_seq, fields, outcome,"
                        " replayed, policy_id)"
                        f" VALUES ('{at_ms}-0', {at_ms}, 0, '{{}}', '', false, '')"
                    )
                )
        for statement in (
            "DELETE FROM command_journal",
            "DROP TABLE command_journal_default",
            "DELETE FROM opening_states",
            "INSERT INTO journal_archives SELECT * FROM journal_archives",
        ):
            with pytest.raises(Exception, match=r"denied|owner"), engine.begin() as connection:
                connection.execute(text(statement))
        engine.dispose()
