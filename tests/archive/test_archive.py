"""Whoever folds on from an archive comes to the same as who folds from the beginning."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from daemon.archive.files import LinesWriter, Manifest, read_manifest
from daemon.archive.run import Archiver
from daemon.archive.verify import Verification
from daemon.audit.differences import Difference, Findings
from daemon.audit.run import Audit, Scope
from daemon.errors import ArchiveError
from meterd.rules.model import Policy
from meterd.rules.partitions import Partition
from persistence.postgres import reader
from persistence.postgres.engine import make_engine
from persistence.postgres.layout import fetch_partitions
from persistence.postgres.recorder_state import fetch_position
from tests.archive.filling import Account, fill, folded, sent_to, write_on
from tests.deploy.postgres import roles_in
from tests.rules.strategies import T0, Entry, Stream, flat, streams

FEW = settings(
    max_examples=6,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
MANY = settings(FEW, max_examples=150)
USERS = ("ann", "bob")


def archive(engine: Engine, to: Path, before_ms: int, **options: Any) -> Path:
    """Archive what is before a millisecond; give the folder."""
    archiver = Archiver(engine, _fail, **options)
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


def _fail(difference: Difference) -> None:
    raise AssertionError(difference)


def _last_entries(engine: Engine) -> list[str]:
    """Those of each partition, as a daemon compares them with Redis before it begins."""
    with engine.connect() as connection:
        partitions = fetch_partitions(connection) or 1
        return [fetch_position(connection, number).journal for number in range(partitions)]


def _assert_nothing_changes(
    engine: Engine, to: Path, stream: Stream, shares: tuple[float, float], partitions: int
) -> None:
    span_ms = stream.end - T0 + 2
    cuts = tuple(sorted({T0 + int(span_ms * share) for share in shares}))
    fill(engine, stream, cuts, partitions)
    before, last = folded(engine), _last_entries(engine)
    assert audited(engine) == []
    for cut_ms in cuts:
        folder = archive(engine, to, cut_ms)
        assert verified(folder) == []
        assert (folded(engine), _last_entries(engine)) == (before, last)
        assert audited(engine) == []
        assert _left(engine, partitions) == [
            [e.id for e in stream.entries if e.at >= cut_ms and sent_to(e, partitions) == number]
            for number in range(partitions)
        ]
    shutil.rmtree(to)


def _left(engine: Engine, partitions: int) -> list[list[str]]:
    """What is in the journal, partition by partition."""
    with engine.connect() as connection:
        return [
            [row.stream_id for row in reader.journal_since(connection, 0, partition=number)]
            for number in range(partitions)
        ]


PARTITIONS = pytest.mark.parametrize("partitions", [1, 4])
SHARES = st.tuples(st.floats(0, 1), st.floats(0, 1))


@PARTITIONS
@FEW
@given(stream=streams(), shares=SHARES)
def test_audit_and_recovery_come_to_the_same(
    engine: Engine, tmp_path: Path, stream: Stream, shares: tuple[float, float], partitions: int
) -> None:
    """Accounts, chats, records, snapshots: whatever the stream, wherever it is cut, twice."""
    _assert_nothing_changes(engine, tmp_path / "to", stream, shares, partitions)


@pytest.mark.slow
@pytest.mark.timeout(1_200)
@PARTITIONS
@MANY
@given(stream=streams(), shares=SHARES)
def test_audit_and_recovery_come_to_the_same_many_times(
    engine: Engine, tmp_path: Path, stream: Stream, shares: tuple[float, float], partitions: int
) -> None:
    """As above, of many streams."""
    _assert_nothing_changes(engine, tmp_path / "to", stream, shares, partitions)


def lives(*more: dict[str, str]) -> Stream:
    """Two users whose chats start, end, are refunded, adopted and repeated, a day apart."""
    fields: list[dict[str, str]] = []
    for user in USERS:
        begin = {"user_id": user, "advisor_id": "v", "rate": "6"}
        fields += [
            {"type": "top_up", "user_id": user, "amount": "1000000"},
            {"type": "start", "chat_id": f"{user}.ended", **begin},
            {"type": "start", "chat_id": f"{user}.open", **begin, "free_ms": "60000",
             "free_scope": "user"},
            {"type": "end", "chat_id": f"{user}.ended"},
            {"type": "refund", "chat_id": f"{user}.ended", "amount": "1"},
            {"type": "end", "chat_id": "bob.open", "user_id": user, "id": f"{user}.early"},
            {"type": "pause", "chat_id": f"{user}.open"},
            {"type": "end", "chat_id": "nobodys"},
        ]  # fmt: skip
    for user in USERS:
        adopt = {
            "user_id": user,
            "advisor_id": "v",
            "rate": "6",
            "started_at": "5",
            "carried_ms": "7",
            "carried_cost": "3",
        }
        fields += [
            {"type": "refund", "chat_id": f"{user}.ended", "amount": "2"},
            {"type": "pause", "chat_id": "bob.ended", "user_id": user},
            {"type": "adopt", "chat_id": f"{user}.old", **adopt},
            {"type": "end", "chat_id": f"{user}.old"},
            {"type": "refund", "chat_id": f"{user}.old", "amount": "1"},
            {"type": "adopt", "chat_id": f"{user}.old", **adopt},
            {"type": "resume", "chat_id": f"{user}.open"},
        ]  # fmt: skip
    sent = [{"id": f"i{n}", **one} for n, one in enumerate([*fields, *more])]
    entries = [Entry(f"{T0 + n * DAY_MS}-0", flat(one)) for n, one in enumerate(sent)]
    return Stream(Policy(), entries)


DAY_MS = 86_400_000
CUT_MS = T0 + 16 * DAY_MS
"""Between what is refunded, adopted and named before, and what is after."""


@pytest.fixture
def filled(engine: Engine) -> Engine:
    """Two users, with a partition up to the cut."""
    fill(engine, lives(), (CUT_MS,))
    return engine


@PARTITIONS
def test_chats_of_before_go_on_after(engine: Engine, tmp_path: Path, partitions: int) -> None:
    """Refunds of chats that ended before, other users' chats, chats adopted later, each refused or
    accepted as it would be."""
    fill(engine, lives(), (CUT_MS,), partitions)
    before = folded(engine)
    assert isinstance(before["ann"], Account)
    folder = archive(engine, tmp_path, CUT_MS)
    assert folded(engine) == before
    assert (audited(engine), verified(folder)) == ([], [])


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
    _sql(filled, "UPDATE journal_archives SET last_entries = '{}'")
    _sql(filled, "DELETE FROM command_journal")
    last = [entry.id for entry in lives().entries if entry.at < CUT_MS][-1]
    assert _last_entries(filled) == [last]


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
    assert _count(filled, "opening_states") == _count(filled, "journal_archives") == 0
    cut = archive(filled, tmp_path / "cut", CUT_MS)
    assert [path.name for path in (tmp_path / "cut").iterdir()] == [cut.name]
    manifest = read_manifest(cut)[0]
    fill(filled, lives(), (CUT_MS,))
    assert _facts(manifest) == _facts(read_manifest(archive(filled, tmp_path / "w", CUT_MS))[0])
    assert Archiver(filled, _fail).plan(CUT_MS) is None


def _facts(manifest: Manifest) -> tuple[Any, ...]:
    return manifest.files, manifest.users, manifest.last_entry


def _count(engine: Engine, table: str) -> int:
    with engine.connect() as connection:
        return int(connection.scalar(text(f"SELECT count(*) FROM {table}")) or 0)


def test_a_row_that_came_late_is_not_dropped(filled: Engine, tmp_path: Path) -> None:
    """The files were written, then a row came into a month that is to be dropped."""

    def progress(name: str) -> None:
        if name == "drop":
            raise _Killed

    with pytest.raises(_Killed):
        archive(filled, tmp_path, CUT_MS, progress=progress)
    _sql(
        filled,
        "INSERT INTO command_journal SELECT (at_ms + 1) || '-0', at_ms + 1, 0, NULL, NULL, '{}',"
        " 'invalid_command', false, 'p' FROM command_journal ORDER BY at_ms LIMIT 1",
    )
    with pytest.raises(ArchiveError, match=r"it has changed since\. Remove the folder"):
        archive(filled, tmp_path, CUT_MS)
    shutil.rmtree(next(tmp_path.iterdir()))
    assert verified(archive(filled, tmp_path, CUT_MS)) == []


def _short(cases: Mapping[str, object], *fast: str) -> list[Any]:
    """The names of all cases; those that are not named here run by ``make test-slow``."""
    slow = [pytest.param(name, marks=pytest.mark.slow) for name in cases if name not in fast]
    return [*fast, *slow]


BROKEN = {
    "journal": ("UPDATE command_journal SET outcome = 'unknown_chat' WHERE chat_id = 'ann.open'"),
    "records": (
        "UPDATE chat_time_records SET active_ms = active_ms - 1, paused_ms = paused_ms + 1"
        " WHERE chat_id = 'ann.ended'"
    ),
    "ledger": "UPDATE ledger_entries SET amount = amount + 1 WHERE entry_id LIKE 'top_up:%'",
}


@pytest.mark.parametrize("what", _short(BROKEN, "records"))
def test_what_an_audit_finds_is_not_archived(filled: Engine, tmp_path: Path, what: str) -> None:
    """Nothing is dropped that is wrong, and the next step is named."""
    _sql(filled, BROKEN[what])
    found: list[Difference] = []
    archiver = Archiver(filled, found.append)
    plan = archiver.plan(CUT_MS)
    assert plan is not None
    with pytest.raises(ArchiveError, match=r"nothing is archived.*meterd audit"):
        archiver.run(plan, tmp_path, "ann")
    assert found
    assert _count(filled, "journal_archives") == 0
    assert not (tmp_path / plan.name).exists()


AFTERWARDS = {
    "a state": (
        """UPDATE opening_states SET account = jsonb_set(account, '{settled_micro}', '1')
        WHERE user_id = 'ann'""",
        {"opening_state"},
    ),
    "a state's number": (
        "UPDATE opening_states SET ended_chats = 7 WHERE user_id = 'ann'",
        {"opening_state"},
    ),
    "a record": (BROKEN["records"], {"archived_records", "record"}),
    "a record's refunds": (
        "UPDATE chat_time_records SET refunded = 0 WHERE chat_id = 'ann.ended'",
        {"record"},
    ),
    "a record gone": (
        "DELETE FROM chat_time_records WHERE chat_id = 'ann.ended'",
        {"archived_records", "outcome", "extra_ledger_entry", "balance"},
    ),
    "an entry gone": (
        "DELETE FROM ledger_entries WHERE entry_id = 'charge:ann.ended'",
        {"archived_ledger", "balance"},
    ),
    "an entry more": (
        """INSERT INTO ledger_entries SELECT 'top_up:5-0', user_id, NULL, 'top_up', 5, at, NULL
        FROM ledger_entries WHERE entry_id = 'charge:ann.ended'""",
        {"archived_ledger", "balance"},
    ),
}


@pytest.mark.parametrize("what", _short(AFTERWARDS, "a state", "a record", "an entry gone"))
def test_what_is_changed_afterwards_is_named(filled: Engine, tmp_path: Path, what: str) -> None:
    """Of what was before the archive, too: states, records and ledger. Nobody else is."""
    archive(filled, tmp_path, CUT_MS)
    statement, kinds = AFTERWARDS[what]
    _sql(filled, statement)
    found = audited(filled)
    assert {one.kind for one in found} == kinds
    assert {one.user for one in found} == {"ann"}


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


def _sql(engine: Engine, statement: str) -> None:
    with engine.begin() as connection:
        connection.execute(text("SET session_replication_role = replica"))
        connection.execute(text(statement))


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


def test_only_the_owner_archives(filled: Engine) -> None:
    """The daemon's role, and all others, are refused before anything is done."""
    with roles_in(filled.url.render_as_string(hide_password=False)) as roles:
        for role in ("daemon", "operator", "recovery"):
            engine = make_engine(roles.url(role))
            with pytest.raises(ArchiveError, match="as the owner of the tables"):
                Archiver(engine, _fail).plan(CUT_MS)
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


def test_rows_that_no_month_can_have_are_not_lost(filled: Engine) -> None:
    """An entry ID of the first milliseconds of 1970 is in no order of time: nothing is archived."""
    _sql(
        filled,
        "INSERT INTO command_journal SELECT '9-0', 9, 0, NULL, NULL, '{}',"
        " 'invalid_command', false, 'p'",
    )
    with pytest.raises(ArchiveError, match="1 rows of the journal are older and in no month"):
        Archiver(filled, _fail).plan(CUT_MS)


def test_a_command_that_waited_for_longer_than_a_month_is_handled(
    filled: Engine, tmp_path: Path
) -> None:
    """It comes into the journal after what is younger was archived, and is folded on."""
    late = Entry(f"{CUT_MS - 5}-0", flat(START)), Entry(f"{CUT_MS - 4}-0", flat(END))
    stream = lives()
    early = [entry for entry in stream.entries if entry.at < CUT_MS - 5]
    fill(filled, stream._replace(entries=early), (CUT_MS,))
    archive(filled, tmp_path, CUT_MS)
    write_on(filled, stream._replace(entries=[*early, *late]), len(early))
    assert audited(filled) == []
    assert set(folded(filled)["ann"].records) == {"ann.ended", "ann.open", "ann.late"}


START = {
    "type": "start",
    "id": "late-0",
    "chat_id": "ann.late",
    "user_id": "ann",
    "advisor_id": "v",
    "rate": "6",
}
END = {"type": "end", "id": "late-1", "chat_id": "ann.late", "user_id": "ann"}


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
