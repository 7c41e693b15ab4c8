"""Whoever folds on from an archive comes to the same as who folds from the beginning."""

import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from persistence.postgres import reader
from tests.archive.conftest import archive, audited, last_entries, verified
from tests.archive.filling import CUT_MS, Account, fill, folded, lives, sent_to, write_on
from tests.rules.strategies import T0, Entry, Stream, flat, streams

FEW = settings(
    max_examples=6,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
MANY = settings(FEW, max_examples=150)
PARTITIONS = pytest.mark.parametrize("partitions", [1, 4])
SHARES = st.tuples(st.floats(0, 1), st.floats(0, 1))


def _assert_nothing_changes(
    engine: Engine, to: Path, stream: Stream, shares: tuple[float, float], partitions: int
) -> None:
    span_ms = stream.end - T0 + 2
    cuts = tuple(sorted({T0 + int(span_ms * share) for share in shares}))
    fill(engine, stream, cuts, partitions)
    before, last = folded(engine), last_entries(engine)
    assert audited(engine) == []
    for cut_ms in cuts:
        folder = archive(engine, to, cut_ms)
        assert verified(folder) == []
        assert (folded(engine), last_entries(engine)) == (before, last)
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


START = {
    "type": "start",
    "id": "late-0",
    "chat_id": "ann.late",
    "user_id": "ann",
    "advisor_id": "v",
    "rate": "6",
}
END = {"type": "end", "id": "late-1", "chat_id": "ann.late", "user_id": "ann"}


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
