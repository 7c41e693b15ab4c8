"""What happens to an open chat is written to its row alone, and to none of the table's indexes."""

from sqlalchemy import Connection, text

from meterd.rules.model import ChatStatus
from persistence.postgres.rows import RecordRow
from persistence.postgres.writer import write_batch

_UPDATED = """
SELECT pg_stat_get_xact_tuples_updated(oid), pg_stat_get_xact_tuples_hot_updated(oid)
FROM pg_class WHERE oid = 'chat_time_records'::regclass
"""
AT_MS = 1_790_000_000_000


def _row(number: int, status: ChatStatus, seq: int) -> RecordRow:
    return RecordRow(
        f"chat-{number}", "u", "v", status, AT_MS, None, None, "command" if seq > 1 else None,
        seq, seq, seq, 10, seq, 0, 0, 0, 0, 1, 0, "live", seq, AT_MS + seq,
    )  # fmt: skip


def test_a_pause_touches_no_index(connection: Connection) -> None:
    """So the server need not write five of them for each command, nor clean them up later."""
    write_batch(connection, [_row(n, "running", 1) for n in range(100)], [], [])
    connection.commit()
    write_batch(connection, [_row(n, "paused", 2) for n in range(0, 100, 10)], [], [])
    assert tuple(connection.execute(text(_UPDATED)).one()) == (10, 10)
