"""Ended chats that have left Redis: their records in Postgres, only where that is asked for."""

from typing import Any, Final

from meterd._postgres import Postgres
from meterd._results import ChatSnapshot

_MS = "(extract(epoch FROM {0}) * 1000)::bigint AS {1}"
_COLUMNS: Final = (
    "chat_id",
    "user_id",
    "advisor_id",
    "status",
    _MS.format("updated_at", "as_of"),
    _MS.format("started_at", "started_at"),
    _MS.format("ended_at", "ended_at"),
    *("end_reason", "pause_reason", "active_ms", "paused_ms", "billed_ms"),
    *("cost", "refunded", "rate", "free_ms", "free_scope", "min_ms"),
    *("increment_ms", "increment_due", "idle_ms", "abandon_ms", "max_ms", "seq", "source"),
)
_QUERY: Final = f"SELECT {', '.join(_COLUMNS)} FROM chat_time_records WHERE chat_id = %s"  # noqa: S608 - constants


class Records:
    """Reads records through a connection of its own; threads take turns."""

    def __init__(self, postgres_url: str) -> None:
        """Nothing is connected yet."""
        self._postgres = Postgres(postgres_url, "the record can't be read")

    def fetch(self, chat_id: str) -> ChatSnapshot | None:
        """The chat's record; None if it has none.

        Raises:
            UnavailableError: Postgres does not answer.
        """
        return self._postgres.ask(lambda connection: _query(connection, chat_id))

    def close(self) -> None:
        """Let go of the connection."""
        self._postgres.close()


def _query(connection: Any, chat_id: str) -> ChatSnapshot | None:
    with connection.cursor() as cursor:
        cursor.execute(_QUERY, (chat_id,))
        row = cursor.fetchone()
        names = [column.name for column in cursor.description]
    return None if row is None else ChatSnapshot(**dict(zip(names, row, strict=True)))
