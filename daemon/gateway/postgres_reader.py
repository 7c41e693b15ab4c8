"""What Postgres has: records, ledger, journal; read in threads, so many at once."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from daemon.gateway.dataloader import DataLoader
from daemon.gateway.errors import BusyLoaderError, ProblemError, busy, postgres_unavailable
from persistence.postgres.reader import fetch_records
from persistence.postgres.rows import RecordRow

T = TypeVar("T")

CHATS_MAX: Final = 200
STATEMENT_MS_MAX: Final = 5_000
QUERY_CANCELED: Final = "57014"
WAITING_MAX: Final = 100
"""Questions that wait for a connection; one more is refused."""


class PostgresReader:
    """Asks Postgres questions."""

    def __init__(
        self,
        engine: Engine,
        threads: int,
        away: Callable[[object], ProblemError] = postgres_unavailable,
    ) -> None:
        """Nothing is asked yet; at most ``threads`` questions at once.

        ``away`` words the problem of a server that does not answer.
        """
        self._engine = engine
        self._away = away
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="records")
        self._waiting = 0
        self._loader: DataLoader[RecordRow | None] = DataLoader(self._fetch, CHATS_MAX)

    def close(self) -> None:
        """Let go of the connections."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._engine.dispose()

    async def chat(self, chat_id: str) -> RecordRow | None:
        """The chat's record. Raises ProblemError: Postgres is away."""
        try:
            (record,) = await self._loader.load(chat_id)
        except BusyLoaderError as error:
            raise busy(str(error)) from None
        return record

    async def ask(self, question: Callable[[Connection], T]) -> T:
        """Ask in a thread of its own. Raises ProblemError: Postgres is unavailable, or too busy."""
        if self._waiting >= WAITING_MAX:
            raise busy("too many questions wait for PostgreSQL")
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._pool, self._answer, question)
        except SQLAlchemyError as error:
            if _code(error) == QUERY_CANCELED:
                raise _too_slow() from error
            raise self._away(_cause(error)) from error
        finally:
            self._waiting -= 1

    def _answer(self, question: Callable[[Connection], T]) -> T:
        with self._engine.connect() as connection:
            return question(connection)

    async def _fetch(self, chat_ids: Sequence[str]) -> list[RecordRow | None]:
        found = await self.ask(lambda connection: fetch_records(connection, chat_ids))
        return [found.get(chat_id) for chat_id in chat_ids]


def _code(error: SQLAlchemyError) -> str | None:
    """The SQLSTATE of what the server said."""
    return getattr(error.orig, "pgcode", None) if isinstance(error, DBAPIError) else None


def _too_slow() -> ProblemError:
    """PostgreSQL has looked for as long as it may."""
    limit_s = STATEMENT_MS_MAX / 1000
    detail = (
        f"PostgreSQL did not find it within {limit_s:g} s; ask for less:"
        " name a user, an advisor, a status, or from and to"
    )
    return ProblemError(503, "too_slow", detail, {"Retry-After": "1"})


def _cause(error: SQLAlchemyError) -> str:
    """The first line of what the server or the driver said: no parameters, no addresses."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        code = _code(error)
        return f"{type(error.orig).__name__}{f' {code}' if code else ''}"
    return type(error).__name__
