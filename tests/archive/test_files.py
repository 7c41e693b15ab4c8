"""The files of an archive: other tools read them, and whatever is changed in them is named."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zstandard
from sqlalchemy import Engine

from daemon.archive.files import LinesWriter, read_manifest
from daemon.errors import ArchiveError
from persistence.postgres import reader
from tests.archive.conftest import archive, last_entries, run_sql, verified
from tests.archive.filling import CUT_MS, fill, lives


def test_other_tools_read_an_archive(filled: Engine, tmp_path: Path) -> None:
    """``zstd`` and ``jq`` alone give each row of the journal as it was."""
    with filled.connect() as connection:
        rows = [row._asdict() for row in reader.journal_since(connection, 0)]
    expected = [row for row in rows if int(row["stream_id"].split("-")[0]) < CUT_MS]
    folder = archive(filled, tmp_path, CUT_MS)
    lines = [line for name in ("journal", "unowned") for line in _read(folder, name)]
    assert {line.pop("partition") for line in lines} == {0}
    assert sorted(lines, key=_entry) == sorted(expected, key=_entry)
    costs = {line["chat_id"]: line["cost"] for line in _read(folder, "records")}
    assert costs["ann.ended"] == f"{6 * 2 * 24 * 60}.000000"
    assert (folder.stat().st_mode & 0o077, _modes(folder)) == (0, {0o600})


def _entry(row: dict[str, Any]) -> int:
    return int(row["stream_id"].split("-")[0])


def _modes(folder: Path) -> set[int]:
    return {path.stat().st_mode & 0o777 for path in folder.iterdir()}


def _read(folder: Path, kind: str) -> list[dict[str, Any]]:
    files = sorted(folder.glob(f"{kind}-*.jsonl.zst"))
    if shutil.which("zstd") and shutil.which("jq"):
        raw = subprocess.run(["zstd", "-dc", *files], capture_output=True, check=True)
        shown = subprocess.run(["jq", "-c", "."], input=raw.stdout, capture_output=True, check=True)
        return [json.loads(line) for line in shown.stdout.splitlines()]
    return [line for path in files for line in _lines_of(path)]


def _lines_of(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        raw = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True).read()
    return map(json.loads, raw.splitlines())


def test_an_archive_of_version_1_is_read(filled: Engine, tmp_path: Path) -> None:
    """As they were made before there were several partitions: neither lines nor manifest say it."""
    folder = archive(filled, tmp_path, CUT_MS)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["version"] = 1
    del manifest["queue_partitions"], manifest["last_entries"]
    for one in manifest["files"]:
        if one["kind"] in ("journal", "unowned"):
            _rewrite(folder, one, lambda line: line.pop("partition"))
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert verified(folder) == []
    run_sql(filled, "UPDATE journal_archives SET last_entries = '{}'")
    run_sql(filled, "DELETE FROM command_journal")
    last = [entry.id for entry in lives().entries if entry.at < CUT_MS][-1]
    assert last_entries(filled) == [last]


@pytest.mark.parametrize(("kind", "what"), [("journal", "file"), ("unowned", "last_entries")])
def test_a_row_in_another_partition_is_named(
    engine: Engine, tmp_path: Path, kind: str, what: str
) -> None:
    """Whoever puts rows back must know where: of a user by the user, of nobody by the last."""
    fill(engine, lives(), (CUT_MS,), 4)
    folder = archive(engine, tmp_path, CUT_MS)
    manifest = json.loads((folder / "manifest.json").read_text())
    one = next(one for one in manifest["files"] if one["kind"] == kind)
    _rewrite(folder, one, lambda line: line.update(partition=2))
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert [one.kind for one in verified(folder)] == [what]


def _rewrite(folder: Path, entry: dict[str, Any], change: Callable[[dict[str, Any]], Any]) -> None:
    """Change each line of a file, and say so in what the manifest has of it."""
    lines = list(_lines_of(folder / entry["name"]))
    for line in lines:
        change(line)
    (folder / entry["name"]).unlink()
    writer = LinesWriter(folder, entry["kind"])
    for line in lines:
        writer.write(line)
    writer.close()
    entry.update(json.loads(msgspec.json.encode(writer.files[0])))


def test_a_file_that_was_changed_is_named(filled: Engine, tmp_path: Path) -> None:
    """One byte of each file in turn, and each file gone."""
    folder = archive(filled, tmp_path, CUT_MS)
    for path in folder.glob("*.zst"):
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        assert [(one.kind, path.name in one.found) for one in verified(folder)] == [("file", True)]
        path.unlink()
        assert [one.kind for one in verified(folder)] == ["file"]
        path.write_bytes(whole)
    assert verified(folder) == []


def test_a_manifest_that_is_none_is_named(filled: Engine, tmp_path: Path) -> None:
    """With the file and the reason."""
    folder = archive(filled, tmp_path, CUT_MS)
    manifest = folder / "manifest.json"
    raw = manifest.read_text()
    for text_, why in (
        (raw[:-40], "no manifest of an archive"),
        (raw.replace('"version": 2', '"version": 3'), "this meterd reads versions up to 2"),
        (raw.replace('"queue_partitions": 1', '"queue_partitions": 3'), "queue_partitions: 3 is"),
    ):
        manifest.write_text(text_)
        with pytest.raises(ArchiveError, match=why):
            read_manifest(folder)
    manifest.unlink()
    with pytest.raises(ArchiveError, match="Name the folder of an archive"):
        read_manifest(folder)
