"""Chats that are not imported yet, from the old tables."""

import structlog
from sqlalchemy import Connection

from daemon.gateway.errors import ProblemError, unavailable
from daemon.gateway.postgres_reader import STATEMENT_MS_MAX, PostgresReader
from daemon.legacy.chat_reader import can_be_asked, read_chat
from daemon.legacy.errors import LegacyError
from daemon.legacy.store.shape import LegacyShape
from daemon.settings.settings import Settings
from meterd.rules.model import Chat
from persistence.postgres.engine import make_engine

log = structlog.get_logger()


class LegacyFallback:
    """Asks the old database about chats."""

    def __init__(self, reader: PostgresReader, shape: LegacyShape, policy: str) -> None:
        """``reader`` asks the old database; ``policy`` divides the time of a pair."""
        self._reader = reader
        self._shape = shape
        self._policy = policy

    async def chat(self, chat_id: str) -> Chat | None:
        """Return the chat as it will be once it is imported, or as it runs in the old system.

        Raises:
            ProblemError: the old database is unavailable, or is not as the settings say.
        """
        if not can_be_asked(chat_id):
            return None

        def question(connection: Connection) -> Chat | None:
            return read_chat(connection, self._shape, self._policy, chat_id)

        try:
            return await self._reader.ask(question)
        except LegacyError as error:
            raise legacy_unavailable(str(error).partition("\n")[0]) from error

    async def probe(self) -> None:
        """Ask for any chat, and log what readers would be refused with."""
        try:
            await self.chat("-")
        except ProblemError as problem:
            log.warning("legacy.unavailable", why=problem.detail)

    def close(self) -> None:
        """Close the connections to the old database."""
        self._reader.close()


def legacy_unavailable(cause: object) -> ProblemError:
    """The old tables are needed for this answer, and can't be read."""
    return unavailable("legacy_away", f"the old tables can't be read ({cause})")


def legacy_fallback(settings: Settings, postgres_url: str) -> LegacyFallback | None:
    """Return what reads the old tables, in a pool of its own; None if ``legacy`` is not enabled."""
    legacy = settings.legacy
    if not legacy.enabled:
        return None
    engine = make_engine(
        legacy.url or postgres_url,
        pool_size=settings.postgres.pool_size,
        statement_timeout_ms=STATEMENT_MS_MAX,
        application_name="meterd gateway",
    )
    reader = PostgresReader(engine, 2 * settings.postgres.pool_size, legacy_unavailable)
    return LegacyFallback(reader, LegacyShape.of(legacy), legacy.policy)
