"""A refund that was decided while a run writes the chat's record again: as if it had come first."""

from decimal import Decimal

import pytest
from sqlalchemy.exc import DatabaseError

from daemon.legacy.diff import Databases
from persistence.postgres.reader import fetch_records
from persistence.postgres.rows import RecordRow
from persistence.postgres.writer import write_batch
from tests.legacy.system import bring, rows, sql, verdict_of

pytestmark = pytest.mark.postgres

REFUNDED = Decimal("0.4")
THEN = {
    "the record's total has grown, and its chat with it": (
        "UPDATE conversation_time_records SET total_seconds = 200000, credits_used = 3"
    ),
    "the record has moved to a newer chat": (
        "INSERT INTO chats VALUES ('d', 'u', 'a', '2025-01-04', '2025-01-05');"
        "UPDATE conversation_time_records SET chat_id = 'd', total_seconds = 12, credits_used = 2"
    ),
    "the chat runs again": (
        "UPDATE chats SET ended_at = NULL;"
        "UPDATE conversation_time_records SET status = 'active', total_seconds = 12"
    ),
    "the chat can't be decided any more": (
        "UPDATE conversation_time_records SET total_seconds = -1"
    ),
    "the chat is another user's": (
        "UPDATE conversation_time_records SET user_id = 'v'; UPDATE chats SET user_id = 'v'"
    ),
}


@pytest.fixture
def decided(empty: Databases) -> RecordRow:
    """What the recorder is to write of a refund that has been decided."""
    sql(
        empty.old,
        "INSERT INTO chats VALUES ('c', 'u', 'a', '2025-01-01', '2025-01-02')",
        "INSERT INTO conversation_time_records VALUES (1, 'u', 'a', 'c', 'completed',"
        " '2025-01-01', '2025-01-02', NULL, 10, 1, NULL, '2025-01-03')",
    )
    bring(empty)
    with empty.own.connect() as connection:
        row = fetch_records(connection, ["c"])["c"]
    return row._replace(seq=2, refunded_micro=int(REFUNDED * 10**6))


def _write(sides: Databases, row: RecordRow) -> None:
    with sides.own.begin() as connection:
        write_batch(connection, [row], [], [])


@pytest.mark.parametrize("then", THEN.values(), ids=THEN)
def test_the_refund_is_written_and_the_books_add_up(
    empty: Databases, decided: RecordRow, then: str
) -> None:
    """The next run sets aside what the record, used as it was, lacks or has too much."""
    sql(empty.old, *then.split(";"))
    bring(empty)
    assert verdict_of(empty).differences == []
    _write(empty, decided)
    bring(empty)
    assert verdict_of(empty).differences == []
    found = "SELECT user_id, active_ms, refunded, seq FROM chat_time_records WHERE chat_id = 'c'"
    assert rows(empty.own, found) == [("u", 10_000, REFUNDED, 2)]
    assert bring(empty).counts.get("written", 0) == 0
    assert verdict_of(empty).differences == []


def test_a_record_that_was_used_keeps_its_user_and_its_start(
    empty: Databases, decided: RecordRow
) -> None:
    """Only one to which nothing has happened may give way; the database sees to that."""
    _write(empty, decided)
    for wrong in (
        decided._replace(seq=3, user_id="v"),
        decided._replace(seq=3, started_at_ms=decided.started_at_ms - 1,
                         paused_ms=decided.paused_ms + 1),
    ):  # fmt: skip
        with pytest.raises(DatabaseError, match="keep their chat, user and start"):
            _write(empty, wrong)
