"""Records that came from another system keep what they came with."""

from sqlalchemy import Connection

from actors.chat.rows import chat_of_record, record_row
from persistence.postgres.reader import fetch_records
from persistence.postgres.rows import RecordRow
from persistence.postgres.writer import insert_records, write_batch

ROW = RecordRow(
    "c", "u", "a", "ended", 1_000, 9_000, "migrated", None, 5_000, 3_000, 5_000, 0,
    70, 0, 70, 0, 0, 0, 0, "migrated", 1, 9_000,
)  # fmt: skip


def test_a_refund_changes_what_was_refunded_and_nothing_else(connection: Connection) -> None:
    """Not where it came from, nor the time billed there, whose increments nobody knows."""
    assert insert_records(connection, [ROW]) == 1
    chat = chat_of_record(ROW)._replace(refunded_micro=30, seq=2, as_of_ms=10_000)
    write_batch(connection, [record_row(chat)], [], [])
    (found,) = fetch_records(connection, ["c"]).values()
    assert found == ROW._replace(refunded_micro=30, seq=2, updated_at_ms=10_000)


def test_a_record_that_is_there_is_left_alone(connection: Connection) -> None:
    """And it is told how many were not."""
    insert_records(connection, [ROW])
    other = ROW._replace(chat_id="d")
    assert insert_records(connection, [ROW._replace(cost_micro=90), other]) == 1
    assert fetch_records(connection, ["c", "d"]) == {"c": ROW, "d": other}
