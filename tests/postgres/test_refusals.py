"""The database refuses what must not be, whoever writes it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from meterd.rules.model import ChatStatus, FreeScope, IncrementDue
from persistence.postgres.rows import FreeTimeRow
from persistence.postgres.tables import metadata
from persistence.postgres.writer import write_batch
from tests.postgres.strategies import COMMAND, ENTRY, RECORD, shared

RUNNING = RECORD._replace(status="running", ended_at_ms=None, end_reason=None)


@contextmanager
def refused(connection: Connection, because: str) -> Iterator[None]:
    """The statement fails for this reason; what was there before stays."""
    point = connection.begin_nested()
    with pytest.raises(DBAPIError, match=because):
        yield
    point.rollback()


# By the constraint that must refuse it, and no other.
RECORD_VIOLATIONS = {
    "status": RUNNING._replace(status=cast("ChatStatus", "waiting")),
    "ended_at_if_ended": RECORD._replace(ended_at_ms=None),
    "end_reason_if_ended": RECORD._replace(end_reason=None),
    "ended_after_start": RECORD._replace(ended_at_ms=RECORD.started_at_ms - 1),
    "times_add_up": RECORD._replace(active_ms=60_001),
    "refunded": RECORD._replace(refunded_micro=RECORD.cost_micro + 1),
    "carried_cost": RECORD._replace(carried_cost_micro=RECORD.cost_micro + 1),
    "cost": RECORD._replace(cost_micro=-1, refunded_micro=-1, carried_cost_micro=-1),
    "rate": RECORD._replace(rate_micro=-1),
    "source": RECORD._replace(source="elsewhere"),
    "seq": RECORD._replace(seq=0),
    "free_scope": RECORD._replace(free_scope=cast("FreeScope", "world")),
    "increment_due": RECORD._replace(increment_due=cast("IncrementDue", "never")),
} | {
    name: RUNNING._replace(**{name: -1})  # type: ignore[arg-type]
    for name in (
        "active_ms", "paused_ms", "billed_ms", "free_ms", "min_ms", "increment_ms", "idle_ms",
        "abandon_ms", "max_ms",
    )
}  # fmt: skip
FREE_TIME = FreeTimeRow(user_id="u", number=1, scope="advisor:v", used_ms=60_000, at_ms=7)
FREE_TIME_VIOLATIONS = {
    "number": FREE_TIME._replace(number=0),
    "used_ms": FREE_TIME._replace(used_ms=-1),
}
LEDGER_VIOLATIONS = {
    "amount": [ENTRY._replace(kind="migrated", amount_micro=0)],
    "kind": [ENTRY._replace(kind="gift", amount_micro=1)],
    "sign": [
        ENTRY._replace(amount_micro=1),
        ENTRY._replace(kind="top_up", amount_micro=-1),
        ENTRY._replace(kind="refund", amount_micro=-1),
    ],
}


def _without_others(connection: Connection, table: str, name: str) -> None:
    """Drop the table's other checks, so that only the named one can refuse."""
    checks = {str(c.name) for c in metadata.tables[table].constraints if "ck_" in str(c.name)}
    assert f"ck_{table}_{name}" in checks
    for other in checks - {f"ck_{table}_{name}"}:
        connection.execute(text(f"ALTER TABLE {table} DROP CONSTRAINT {other}"))


@pytest.mark.parametrize("name", RECORD_VIOLATIONS)
def test_each_constraint_of_records_refuses_its_violation(
    connection: Connection, name: str
) -> None:
    _without_others(connection, "chat_time_records", name)
    with refused(connection, f"ck_chat_time_records_{name}"):
        write_batch(connection, [RECORD_VIOLATIONS[name]], [], [])
    write_batch(connection, [RECORD, RUNNING._replace(chat_id="d")], [], [])


@pytest.mark.parametrize("name", LEDGER_VIOLATIONS)
def test_each_constraint_of_the_ledger_refuses_its_violation(
    connection: Connection, name: str
) -> None:
    _without_others(connection, "ledger_entries", name)
    for entry in LEDGER_VIOLATIONS[name]:
        with refused(connection, f"ck_ledger_entries_{name}"):
            write_batch(connection, [], [entry], [])
    write_batch(connection, [], [ENTRY], [])


@pytest.mark.parametrize("name", FREE_TIME_VIOLATIONS)
def test_each_constraint_of_free_time_refuses_its_violation(
    connection: Connection, name: str
) -> None:
    with refused(connection, f"ck_opening_free_times_{name}"):
        write_batch(connection, [], [], [], free_times=[FREE_TIME_VIOLATIONS[name]])
    write_batch(connection, [], [], [], free_times=[FREE_TIME])


def test_there_is_a_violation_for_every_constraint() -> None:
    for table, known in (
        ("chat_time_records", RECORD_VIOLATIONS),
        ("ledger_entries", LEDGER_VIOLATIONS),
        ("opening_free_times", FREE_TIME_VIOLATIONS),
    ):
        checks = {str(c.name) for c in metadata.tables[table].constraints if "ck_" in str(c.name)}
        assert checks == {f"ck_{table}_{name}" for name in known}


def test_more_than_the_cost_is_not_refunded_nor_less_than_nothing(connection: Connection) -> None:
    for micro in (-1, RECORD.cost_micro + 1):
        with refused(connection, "ck_chat_time_records_refunded"):
            write_batch(connection, [RECORD._replace(refunded_micro=micro)], [], [])
    write_batch(connection, [RECORD._replace(refunded_micro=RECORD.cost_micro)], [], [])


@shared
@given(
    st.integers(0, 10**13), st.integers(0, 10**12), st.integers(0, 10**12), st.sampled_from([-1, 1])
)
def test_times_that_miss_by_one_millisecond_are_refused(
    connection: Connection, started_ms: int, active_ms: int, paused_ms: int, off_ms: int
) -> None:
    connection.rollback()
    ended_ms = started_ms + active_ms + paused_ms
    row = RECORD._replace(
        started_at_ms=started_ms, ended_at_ms=ended_ms, active_ms=active_ms, paused_ms=paused_ms
    )
    with refused(connection, "times_add_up|ended_after_start|active_ms"):
        write_batch(connection, [row._replace(active_ms=active_ms + off_ms)], [], [])
    write_batch(connection, [row], [], [])


@pytest.mark.parametrize(
    "stream_id", ["", "1", "a-b", "01-0", "1-00", "1-", "-1-0", "1-2-3", "1-0.5"]
)
def test_what_is_no_stream_id_is_refused(connection: Connection, stream_id: str) -> None:
    with refused(connection, "ck_command_journal_|invalid input syntax"):
        write_batch(connection, [], [], [COMMAND._replace(stream_id=stream_id)])


def test_a_journal_row_at_another_place_than_its_id_says_is_refused(connection: Connection) -> None:
    columns = "stream_id, at_ms, at_seq, fields, outcome, replayed, policy_id"
    insert = text(
        f"INSERT INTO command_journal ({columns}) VALUES (:id, :ms, 0, '{{}}', '', false, '')"
    )
    with refused(connection, "ck_command_journal_stream_id"):
        connection.execute(insert, {"id": "1-0", "ms": 2})
    with refused(connection, "ck_command_journal_position"):
        connection.execute(insert, {"id": "-1-0", "ms": -1})
    connection.execute(insert, {"id": "2-0", "ms": 2})


APPEND_ONLY = {"ledger_entries": "entry_id", "command_journal": "stream_id"}


@pytest.mark.parametrize("table", APPEND_ONLY)
@pytest.mark.parametrize("verb", ["UPDATE", "DELETE", "TRUNCATE"])
def test_ledger_and_journal_are_append_only(connection: Connection, table: str, verb: str) -> None:
    write_batch(connection, [], [ENTRY], [COMMAND])
    sql = {
        "UPDATE": f"UPDATE {table} SET user_id = 'thief'",
        "DELETE": f"DELETE FROM {table} WHERE {APPEND_ONLY[table]} = 'none such'",
        "TRUNCATE": f"TRUNCATE {table}",
    }[verb]
    with refused(connection, f"{table} is append-only: {verb} refused"):
        connection.execute(text(sql))
    assert connection.scalar(text(f"SELECT count(*) FROM {table}")) == 1


RECORD_UPDATES = {
    "seq = 6": "chat_time_records never go back in seq",
    "user_id = 'v'": "chat_time_records keep their chat, user and start",
    "chat_id = 'd'": "chat_time_records keep their chat, user and start",
    "started_at = started_at - interval '1 ms', paused_ms = paused_ms + 1": "chat, user and start",
    "status = 'paused', ended_at = NULL, end_reason = NULL": "chat_time_records stay ended",
}


@pytest.mark.parametrize("change", RECORD_UPDATES)
def test_a_record_keeps_what_it_is(connection: Connection, change: str) -> None:
    write_batch(connection, [RECORD], [], [])
    with refused(connection, f"{RECORD_UPDATES[change]}: UPDATE refused"):
        connection.execute(text(f"UPDATE chat_time_records SET {change}"))


def test_a_record_that_changed_hands_is_refused_not_ignored(connection: Connection) -> None:
    write_batch(connection, [RECORD], [], [])
    with refused(connection, "keep their chat, user and start"):
        write_batch(connection, [RECORD._replace(user_id="v", seq=RECORD.seq + 1)], [], [])


def test_an_ended_chat_may_be_refunded(connection: Connection) -> None:
    write_batch(connection, [RECORD], [], [])
    write_batch(connection, [RECORD._replace(refunded_micro=5, seq=RECORD.seq + 1)], [], [])
    assert connection.scalar(text("SELECT refunded * 1000000 FROM chat_time_records")) == 5
