"""Ended chats that have left Redis: their records in Postgres, only for who asks for that."""

import threading
from typing import Any, Final

from meterd._errors import UnavailableError
from meterd._results import ChatSnapshot

CONNECT_TIMEOUT_S: Final = 3
# How long a connection that gives no sign of life is believed in.
UNANSWERED_MS_MAX: Final = 5_000

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
    *("cost", "refunded", "rate", "free_ms", "min_ms", "increment_ms", "idle_ms", "seq"),
)
_QUERY: Final = f"SELECT {', '.join(_COLUMNS)} FROM chat_time_records WHERE chat_id = %s"  # noqa: S608 - constants


class Records:
    """One connection to Postgres, made when first needed; threads take turns."""

    def __init__(self, postgres_url: str) -> None:
        """Nothing is connected yet."""
        import psycopg2  # noqa: PLC0415 - only for who names a postgres_url

        self._driver = psycopg2
        self._url = postgres_url.replace("postgresql+psycopg2://", "postgresql://", 1)
        self._lock = threading.Lock()
        self._connection: Any = None

    def fetch(self, chat_id: str) -> ChatSnapshot | None:
        """The chat's record; None if it has none.

        Raises:
            UnavailableError: Postgres does not answer.
        """
        with self._lock:
            try:
                return self._fetch(chat_id)
            except self._driver.Error as error:
                self._drop()
                raise UnavailableError(f"the record can't be read: {error}") from error

    def close(self) -> None:
        """Let go of the connection."""
        with self._lock:
            self._drop()

    def _fetch(self, chat_id: str) -> ChatSnapshot | None:
        was_kept = self._connection is not None
        try:
            return self._query(chat_id)
        except (self._driver.OperationalError, self._driver.InterfaceError):
            if not was_kept:
                raise
            self._drop()  # it may have been cut since it was last used
            return self._query(chat_id)

    def _query(self, chat_id: str) -> ChatSnapshot | None:
        if self._connection is None:
            self._connection = self._connect()
        with self._connection.cursor() as cursor:
            cursor.execute(_QUERY, (chat_id,))
            row = cursor.fetchone()
            names = [column.name for column in cursor.description]
        return None if row is None else ChatSnapshot(**dict(zip(names, row, strict=True)))

    def _connect(self) -> Any:
        connection = self._driver.connect(
            self._url,
            connect_timeout=CONNECT_TIMEOUT_S,
            tcp_user_timeout=UNANSWERED_MS_MAX,
            application_name="meterd client",
        )
        connection.set_session(readonly=True, autocommit=True)
        return connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
