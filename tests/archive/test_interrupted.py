"""An archive that is killed, or that others disturb, ends as one that ran alone."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from daemon.archive.files import Manifest, read_manifest
from daemon.archive.run import Archiver
from daemon.errors import ArchiveError
from persistence.postgres.engine import make_engine
from tests.archive.conftest import (
    archive,
    audited,
    count_rows,
    fail_on_difference,
    run_sql,
    verified,
)
from tests.archive.filling import CUT_MS, fill, folded, lives


class _Killed(BaseException):
    """Nothing catches it, as nothing catches a kill."""


@pytest.mark.parametrize(
    ("phase", "number"),
    [
        ("fold", 20),
        ("drop", 1),
        pytest.param("fold", 1, marks=pytest.mark.slow),
        pytest.param("ids", 1, marks=pytest.mark.slow),
        pytest.param("files", 3, marks=pytest.mark.slow),
    ],
)
def test_whatever_cuts_it_short_it_comes_to_the_same(
    filled: Engine, tmp_path: Path, phase: str, number: int
) -> None:
    """Killed while it writes, reads back or drops: again, it writes the same files, once."""
    before, seen = folded(filled), dict[str, int]()

    def progress(name: str) -> None:
        seen[name] = seen.get(name, 0) + 1
        if (name, seen[name]) == (phase, number):
            raise _Killed

    with pytest.raises(_Killed):
        archive(filled, tmp_path / "cut", CUT_MS, progress=progress)
    assert folded(filled) == before
    assert count_rows(filled, "opening_states") == count_rows(filled, "journal_archives") == 0
    cut = archive(filled, tmp_path / "cut", CUT_MS)
    assert [path.name for path in (tmp_path / "cut").iterdir()] == [cut.name]
    manifest = read_manifest(cut)[0]
    fill(filled, lives(), (CUT_MS,))
    assert _facts(manifest) == _facts(read_manifest(archive(filled, tmp_path / "w", CUT_MS))[0])
    assert Archiver(filled, fail_on_difference).plan(CUT_MS) is None


def _facts(manifest: Manifest) -> tuple[Any, ...]:
    return manifest.files, manifest.users, manifest.last_entry


def test_a_row_that_came_late_is_not_dropped(filled: Engine, tmp_path: Path) -> None:
    """The files were written, then a row came into a month that is to be dropped."""

    def progress(name: str) -> None:
        if name == "drop":
            raise _Killed

    with pytest.raises(_Killed):
        archive(filled, tmp_path, CUT_MS, progress=progress)
    run_sql(
        filled,
        "INSERT INTO command_journal SELECT (at_ms + 1) || '-0', at_ms + 1, 0, NULL, NULL, '{}',"
        " 'invalid_command', false, 'p' FROM command_journal ORDER BY at_ms LIMIT 1",
    )
    with pytest.raises(ArchiveError, match=r"it has changed since\. Remove the folder"):
        archive(filled, tmp_path, CUT_MS)
    shutil.rmtree(next(tmp_path.iterdir()))
    assert verified(archive(filled, tmp_path, CUT_MS)) == []


@pytest.mark.slow
def test_an_archive_lets_readers_finish(filled: Engine, tmp_path: Path) -> None:
    """Somebody reads the journal: it gives way after 3 s, and tries again when they are done."""
    waited: list[float] = []
    with filled.connect() as reading:

        def sleep(seconds: float) -> None:
            waited.append(seconds)
            reading.rollback()

        def progress(name: str) -> None:
            if name == "drop" and not waited:
                reading.execute(text("LOCK TABLE command_journal IN ACCESS SHARE MODE"))

        folder = archive(filled, tmp_path, CUT_MS, progress=progress, sleep=sleep)
    assert len(waited) == 1
    assert (verified(folder), audited(filled)) == ([], [])


def test_two_at_once_are_one_too_many(filled: Engine, tmp_path: Path) -> None:
    """The second says so, and changes nothing."""
    refused: list[str] = []

    def progress(name: str) -> None:
        if name == "drop":
            with pytest.raises(ArchiveError, match="another `meterd archive`") as caught:
                archive(second, tmp_path / "b", CUT_MS)
            refused.append(str(caught.value))

    second = make_engine(filled.url.render_as_string(hide_password=False))
    folder = archive(filled, tmp_path / "a", CUT_MS, progress=progress)
    second.dispose()
    assert len(refused) == 1
    assert verified(folder) == []
