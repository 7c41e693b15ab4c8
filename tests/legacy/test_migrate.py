"""Bringing over: everything once, whatever the old tables hold and however often it is run."""

import random
from itertools import count

import pytest

from daemon.legacy import migrate as migrating
from daemon.legacy.diff import Databases
from daemon.legacy.errors import LegacyError
from daemon.legacy.inspect import inspect
from daemon.legacy.migrate import WRITES, MigrationProgress
from daemon.legacy.rollback import rollback
from daemon.legacy.store.names import LegacyNames
from daemon.legacy.store.reader import fingerprint
from daemon.legacy.store.runs import exclusive_lock
from daemon.legacy.store.shape import LegacyShape
from tests.legacy.old_data import create_ugly
from tests.legacy.system import bring, content, facts, quiet, rows, sql, verdict_of, xmins

pytestmark = pytest.mark.postgres
PAIRS = 600


@pytest.fixture
def ugly(sides: Databases) -> Databases:
    with sides.old.begin() as connection:
        create_ugly(connection, PAIRS)
    return sides


@pytest.mark.parametrize("policy", ["latest", "proportional"])
def test_everything_is_found_again(ugly: Databases, policy: str) -> None:
    """To the last fraction, and inspect has foretold it; the old tables are as they were."""
    with ugly.old.connect() as connection:
        before = fingerprint(connection, ugly.shape)
    foretold = inspect(ugly.old, ugly.shape, lambda *_: None).policies[policy]
    run = bring(ugly, policy)
    assert {k: n for k, n in run.counts.items() if k != "written"} == foretold
    assert run.counts["written"] == run.counts["brought"] > PAIRS
    result = verdict_of(ugly, policy)
    assert result.differences == []
    assert result.old.ms == result.here.ms
    assert result.is_quiet
    with ugly.old.connect() as connection:
        assert fingerprint(connection, ugly.shape) == before


def test_the_ugly_data_are_ugly_enough(ugly: Databases) -> None:
    """Nearly every reason and anomaly is there."""
    found = inspect(ugly.old, ugly.shape, lambda *_: None)
    assert len(found.reasons) >= 8
    assert len(found.odd) >= 7


def test_a_second_run_writes_nothing(ugly: Databases) -> None:
    """Every row stays the very same."""
    bring(ugly)
    before = xmins(ugly.own)
    run = bring(ugly, batch_pairs=77)
    assert not any(name in run.counts for name in WRITES)
    assert xmins(ugly.own) == before


def test_the_size_of_a_batch_does_not_matter(ugly: Databases) -> None:
    bring(ugly, batch_pairs=7)
    first = facts(ugly.own)
    rollback(ugly.own, 1, lambda *_: None)
    bring(ugly, batch_pairs=10_000)
    assert facts(ugly.own) == first


def test_another_policy_moves_time_and_not_chats(ugly: Databases) -> None:
    """And back again, everything is as it was."""
    bring(ugly)
    first = facts(ugly.own)
    bring(ugly, "proportional")
    assert facts(ugly.own) != first
    assert verdict_of(ugly).differences == []
    bring(ugly)
    assert facts(ugly.own) == first


def test_rolled_back_and_run_again_it_is_the_same(ugly: Databases) -> None:
    """A rollback leaves nothing, and done twice does nothing."""
    bring(ugly)
    first = facts(ugly.own)
    done = rollback(ugly.own, 1, lambda *_: None)
    assert (done.removed, done.kept) == (len(first["records"]), [])
    assert rollback(ugly.own, 1, lambda *_: None).removed == 0
    assert not any(facts(ugly.own).values())
    bring(ugly)
    assert facts(ugly.own) == first


def test_a_run_that_is_not_there_is_not_rolled_back(empty: Databases) -> None:
    with pytest.raises(LegacyError, match="no run 7"):
        rollback(empty.own, 7, lambda *_: None)


def test_what_was_used_is_kept(ugly: Databases) -> None:
    """By a rollback, and by a run that finds its old row changed: the difference is set aside."""
    bring(ugly)
    chat_id, user_id = rows(
        ugly.own,
        "SELECT chat_id, user_id FROM chat_time_records WHERE cost > 1 ORDER BY 1 LIMIT 1",
    )[0]
    refund = f"UPDATE chat_time_records SET refunded = 1, seq = 2 WHERE chat_id = '{chat_id}'"
    sql(ugly.own, refund)
    assert verdict_of(ugly).differences == []
    sql(
        ugly.old,
        "UPDATE conversation_time_records SET total_seconds = total_seconds + 7,"
        f" updated_at = now() WHERE chat_id = '{chat_id}'",
    )
    assert verdict_of(ugly).differ > 0
    bring(ugly)
    assert verdict_of(ugly).differences == []
    aside = "SELECT reason, total_ms FROM legacy_quarantine WHERE kind = 'chat' AND key = "
    assert rows(ugly.own, f"{aside}'{chat_id}'") == [("changed_since_it_was_used", 7_000)]
    assert rollback(ugly.own, 1, lambda *_: None).kept == [chat_id]
    kept = rows(ugly.own, "SELECT user_id FROM chat_time_records WHERE seq = 2")
    assert kept == [(user_id,)]


def test_a_writer_during_the_run_is_caught_up_with(ugly: Databases) -> None:
    """Rows that change while they are read: after another run all is as it is there."""
    chance, numbers = random.Random(3), count(10**9)

    def write(_: MigrationProgress) -> None:
        sql(ugly.old, *(_change(chance, next(numbers)) for _ in range(5)))

    migrating.migrate(ugly, "latest", write, 40)
    assert verdict_of(ugly).differ > 0
    run = bring(ugly)
    assert run.counts["replaced"] > 0
    assert verdict_of(ugly).differences == []
    late = facts(ugly.own)
    for run_id in (1, 2):
        rollback(ugly.own, run_id, lambda *_: None)
    bring(ugly)
    assert facts(ugly.own) == late


def _change(chance: random.Random, number: int) -> str:
    pair = chance.randrange(1, PAIRS)
    return chance.choice(
        [
            (
                "UPDATE conversation_time_records SET updated_at = now(), total_seconds = 5.5"
                f" WHERE id = {pair * 4}"
            ),
            f"UPDATE conversation_time_records SET status = 'completed' WHERE id = {pair * 4}",
            f"UPDATE chats SET ended_at = created_at + interval '1 min' WHERE id = 'c{pair}-1'",
            (
                f"INSERT INTO chats VALUES ('n{number}', 'u{pair // 4}', 'a{pair % 4}',"
                " '2025-01-01', '2025-01-02')"
            ),
            f"UPDATE chats SET user_id = 'u{pair // 8}' WHERE id = 'c{pair}-2'",
            (
                f"INSERT INTO conversation_time_records VALUES ({number}, 'v{number}', 'a1',"
                f" 'n{number}', 'completed', '2025-01-01', NULL, NULL, 3.25, 1, NULL, now())"
            ),
        ]
    )


def test_a_chat_that_the_old_system_forgets_stays_known(empty: Databases) -> None:
    """A record that named a chat moves on; the chat keeps its record, with zero."""
    record = "INSERT INTO conversation_time_records VALUES (1, 'u', 'a', '{}', 'completed',"
    record += " '2025-01-01', '2025-01-02', NULL, 10, 1, NULL, '2025-01-03')"
    sql(empty.old, record.format("first"))
    bring(empty)
    sql(empty.old, "DELETE FROM conversation_time_records", record.format("second"))
    bring(empty)
    found = "SELECT chat_id, active_ms FROM chat_time_records ORDER BY 1"
    assert rows(empty.own, found) == [("first", 0), ("second", 10_000)]


def test_what_was_brought_stays_when_the_old_records_are_cleared_away(ugly: Databases) -> None:
    """All of them, or all but the chats: a run after that takes nothing away, and is told of."""
    bring(ugly)
    before = facts(ugly.own)
    ms = sum(row.active_ms for row in before["records"])
    for table in ("conversation_time_records", "chats"):
        sql(ugly.old, f"DELETE FROM {table}")
        assert bring(ugly).counts["gone"] > 0
        after = {row.chat_id: row for row in facts(ugly.own)["records"]}
        for row in before["records"]:
            assert after[row.chat_id] == row or not (row.active_ms or row.cost)
        assert facts(ugly.own)["residues"] == before["residues"]
        result = verdict_of(ugly)
        assert result.differences == []
        assert result.counts["gone_ms"] > ms
        assert result.here.ms == result.old.ms == 0


def test_a_chat_that_runs_again_waits_for_its_adoption(empty: Databases) -> None:
    """Its record goes until then; what runs is in verify's sum."""
    sql(
        empty.old,
        "INSERT INTO chats VALUES ('c', 'u', 'a', '2025-01-01', NULL)",
        "INSERT INTO conversation_time_records VALUES (1, 'u', 'a', 'c', 'completed',"
        " '2025-01-01', '2025-01-02', NULL, 10, 1, NULL, '2025-01-03')",
    )
    assert bring(empty).counts["brought"] == 1
    sql(empty.old, "UPDATE conversation_time_records SET status = 'active', total_seconds = 12")
    run = bring(empty)
    assert (run.counts["removed"], run.counts["running"]) == (1, 1)
    assert rows(empty.own, "SELECT chat_id FROM chat_time_records") == []
    assert verdict_of(empty).differences == []


def test_one_at_a_time(empty: Databases) -> None:
    with exclusive_lock(empty.own), pytest.raises(LegacyError, match="another"):
        bring(empty)


def test_a_wrong_name_is_named_with_its_setting(empty: Databases) -> None:
    """All at once, with what is there instead."""
    names = LegacyNames(chats_table="chat", records_total_seconds="seconds")
    with pytest.raises(LegacyError) as raised:
        bring(empty._replace(shape=LegacyShape(names)))
    assert "legacy.chats_table: there is no table chat" in str(raised.value)
    assert "legacy.records_total_seconds: conversation_time_records has no column seconds" in str(
        raised.value
    )


def test_other_names_do_as_well(sides: Databases) -> None:
    """Schemas, capitals and words of SQL."""
    names = LegacyNames(
        chats_table="old.Chats", records_table="old.select", records_user_id="User",
        chats_id="order", credits_table="old.credits",
    )  # fmt: skip
    with sides.old.begin() as connection:
        connection.exec_driver_sql("CREATE SCHEMA old")
        create_ugly(connection, 50, names=names)
    there = sides._replace(shape=LegacyShape(names))
    bring(there)
    assert verdict_of(there).differences == []


def test_runs_are_written_down(empty: Databases) -> None:
    """An unfinished one is gone on with, unless another policy is wanted."""

    def stop(_: MigrationProgress) -> None:
        raise KeyboardInterrupt

    sql(empty.old, "INSERT INTO chats VALUES ('c', 'u', 'a', '2025-01-01', NULL)")
    for policy in ("latest", "latest", "proportional"):
        with pytest.raises(KeyboardInterrupt):
            migrating.migrate(empty, policy, stop, 1)
        sql(empty.old, f"INSERT INTO chats VALUES ('{policy}-{random.random()}', 'v', 'a')")
    migrating.migrate(empty, "proportional", quiet, 1)
    runs = "SELECT run_id, policy, finished_at IS NULL FROM legacy_runs ORDER BY 1"
    assert rows(empty.own, runs) == [(1, "latest", True), (2, "proportional", False)]
    assert content(empty.own)
