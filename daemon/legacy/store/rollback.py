"""What a rollback has to know of a run, and what it forgets of it."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection

# In the order of the key's index, whatever its collation is: another would be sorted each time.
_CHATS: Final = """
SELECT chat_id FROM legacy_chats WHERE run_id = %s AND chat_id > %s ORDER BY chat_id LIMIT %s"""
_COUNT: Final = "SELECT count(*) FROM legacy_chats WHERE run_id = %s"
# The journal has no index by chat; by user it has, and a chat's commands are of its user.
_USED: Final = """
SELECT r.chat_id FROM chat_time_records r WHERE r.chat_id = ANY(%(ids)s) AND (r.seq > 1 OR EXISTS (
  SELECT 1 FROM command_journal j
  WHERE j.user_id = r.user_id AND j.chat_id = r.chat_id AND j.outcome = 'ok'))"""
_FORGET: Final = (
    "DELETE FROM legacy_quarantine WHERE run_id = %s",
    "DELETE FROM legacy_residues WHERE run_id = %s",
)


def chats_of_run(connection: Connection, run_id: int, after: str, most: int) -> list[str]:
    """Give the next chats that a run imported, in the order of their names."""
    rows = connection.exec_driver_sql(_CHATS, (run_id, after, most))
    return [row[0] for row in rows]


def count_chats(connection: Connection, run_id: int) -> int:
    """Give how many chats a run importedthat are still counted to it."""
    return int(connection.exec_driver_sql(_COUNT, (run_id,)).scalar_one())


def used_chats(connection: Connection, chat_ids: Sequence[str]) -> set[str]:
    """Give those of the chats to which something happened since they were imported."""
    return {row[0] for row in connection.exec_driver_sql(_USED, {"ids": list(chat_ids)})}


def forget_run(connection: Connection, run_id: int) -> None:
    """Delete what the run has set aside, and what rounding left over."""
    for sql in _FORGET:
        connection.exec_driver_sql(sql, (run_id,))
