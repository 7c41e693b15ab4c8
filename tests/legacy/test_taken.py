"""Chats that meterd has already, and records that somebody has to decide about."""

import pytest

from daemon.legacy.diff import Databases
from daemon.legacy.errors import CannotResolveError, LegacyError
from daemon.legacy.resolve import assign_record, retry_aside
from daemon.legacy.store.runs import exclusive_lock
from tests.legacy.system import bring, rows, sql, verdict_of

pytestmark = pytest.mark.postgres

_LIVE = """
INSERT INTO chat_time_records (chat_id, user_id, advisor_id, status, started_at, active_ms,
  paused_ms, billed_ms, rate, cost, refunded, carried_cost, free_ms, min_ms, increment_ms, idle_ms,
  source, seq, updated_at)
VALUES ('c', '{user}', 'a', 'running', '2025-01-01', 0, 0, 0, 1, {carried}, 0, {carried}, 0, 0, 1,
  0, 'live', 1, '2025-01-01')"""
_ADOPT = """
INSERT INTO command_journal VALUES ('9-0', 9, 0, 'u', 'c',
  '{{"type": "adopt", "carried_ms": "{ms}", "carried_cost": "1"}}', 'ok', false, 'p', now())"""
_OLD = (
    "INSERT INTO chats VALUES ('c', 'u', 'a', '2025-01-01', NULL)",
    """INSERT INTO conversation_time_records VALUES (1, 'u', 'a', 'c', 'active',
    '2025-01-01', NULL, '2025-01-01', 10, 1, NULL, '2025-01-03')""",
)


@pytest.mark.parametrize("status", ["active", "completed"])
def test_a_chat_that_was_adopted_counts_with_what_it_carried(empty: Databases, status: str) -> None:
    """Whether the old system has ended it or not; and it must have carried its share at least."""
    sql(empty.old, *_OLD, f"UPDATE conversation_time_records SET status = '{status}'")
    sql(empty.own, _LIVE.format(user="u", carried=1), _ADOPT.format(ms=10_000))
    bring(empty)
    assert verdict_of(empty).differences == []
    assert rows(empty.own, "SELECT source FROM chat_time_records") == [("live",)]
    sql(empty.old, "UPDATE conversation_time_records SET total_seconds = 10.001")
    assert [one.kind for one in verdict_of(empty).differences] == ["adopted"]


def test_a_chat_id_that_is_taken_is_set_aside(empty: Databases) -> None:
    """By a chat of meterd's own, or of another user."""
    sql(empty.old, *_OLD, "UPDATE conversation_time_records SET status = 'completed'")
    sql(empty.own, _LIVE.format(user="somebody", carried=0))
    bring(empty)
    taken = rows(empty.own, "SELECT kind, key, reason, total_ms FROM legacy_quarantine")
    assert taken == [("chat", "c", "chat_id_taken", 10_000)]
    assert verdict_of(empty).differences == []
    sql(empty.own, "DELETE FROM chat_time_records")
    assert retry_aside(empty, "latest")[1:] == (1, 0)
    assert verdict_of(empty).differences == []


def test_a_record_is_assigned_to_a_chat(empty: Databases) -> None:
    """What somebody has said is obeyed by all later runs; not every chat will do."""
    record = "INSERT INTO conversation_time_records VALUES ({}, '{}', 'a', '{}', 'completed',"
    record += " '2025-01-01', NULL, NULL, 10, 1, NULL, '2025-01-03')"
    sql(
        empty.old,
        "INSERT INTO chats VALUES ('c1', 'u', 'a', '2025-01-01', '2025-01-02'),"
        " ('c2', 'u2', 'a', '2025-01-01', '2025-01-02')",
        record.format(1, "u", "c2"),
    )
    bring(empty)
    for key, chat_id, why in [("1", "c2", "is a chat of u2"), ("2", "c1", "0 records"),
                              ("1", "no id", "is no id")]:  # fmt: skip
        with pytest.raises(CannotResolveError, match=why):
            assign_record(empty, key, chat_id)
    with exclusive_lock(empty.own), pytest.raises(LegacyError, match="another"):
        assign_record(empty, "1", "c1")  # the run at work would write its row again without it
    assign_record(empty, "1", "c1")
    assert retry_aside(empty, "latest")[1:] == (1, 0)
    for _ in range(2):
        imported = rows(empty.own, "SELECT chat_id, active_ms FROM chat_time_records ORDER BY 1")
        assert imported == [("c1", 10_000), ("c2", 0)]
        assert verdict_of(empty).differences == []
        bring(empty)
