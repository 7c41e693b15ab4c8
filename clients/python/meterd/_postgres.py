"""One connection to a PostgreSQL, made when first needed; threads take turns."""

import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar

from meterd._errors import UnavailableError

T = TypeVar("T")

CONNECT_TIMEOUT_S: Final = 3
# How long a connection that gives no sign of life is believed in.
UNANSWERED_MS_MAX: Final = 5_000


class Postgres:
    """Asks questions that may be asked twice."""

    def __init__(self, url: str, trouble: str) -> None:
        """Nothing is connected yet. ``trouble``: how an error begins that whoever asks gets."""
        import psycopg2  # noqa: PLC0415 - only where a postgres_url is given

        self._driver = psycopg2
        self._url = url.replace("postgresql+psycopg2://", "postgresql://", 1)
        self._error = trouble
        self._lock = threading.Lock()
        self._connection: Any = None

    def ask(self, question: Callable[[Any], T]) -> T:
        """The answer of a question to the connection.

        Raises:
            UnavailableError: Postgres does not answer.
        """
        with self._lock:
            try:
                return self._ask(question)
            except self._driver.Error as error:
                self._drop()
                raise UnavailableError(f"{self._error}: {error}") from error

    def close(self) -> None:
        """Let go of the connection."""
        with self._lock:
            self._drop()

    def _ask(self, question: Callable[[Any], T]) -> T:
        was_kept = self._connection is not None
        try:
            return question(self._connected())
        except (self._driver.OperationalError, self._driver.InterfaceError):
            if not was_kept:
                raise
            self._drop()  # it may have been cut since it was last used
            return question(self._connected())

    def _connected(self) -> Any:
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

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
