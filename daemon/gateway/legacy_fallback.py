"""Chats that have not come over yet, as the old tables have them."""

import structlog
from sqlalchemy import Connection

from daemon.gateway.errors import ProblemError, legacy_unavailable
from daemon.gateway.postgres_reader import PostgresReader
from daemon.legacy.chat_reader import can_be_asked, read_chat
from daemon.legacy.settings import LegacySettings
from daemon.legacy.store.layout import LegacyError
from daemon.legacy.store.names import LegacyNames
from meterd.rules.model import Chat

log = structlog.get_logger()


class OldTables:
    """Asks the old database about chats; without one, it knows none."""

    def __init__(self, records: PostgresReader | None, names: LegacyNames, policy: str) -> None:
        """``records``: puts the questions to the old database; None if there is none."""
        self._records = records
        self._names = names
        self._policy = policy

    async def chat(self, chat_id: str) -> Chat | None:
        """The chat as it will be once it has come over, or as it runs there.

        Raises Problem: the old database is away, or is not as the settings say.
        """
        if self._records is None or not can_be_asked(chat_id):
            return None

        def question(connection: Connection) -> Chat | None:
            return read_chat(connection, self._names, self._policy, chat_id)

        try:
            return await self._records.ask(question)
        except LegacyError as error:
            raise legacy_unavailable(str(error).partition("\n")[0]) from error

    async def probe(self) -> None:
        """Ask for any chat, and log what everybody would be told who asks for one."""
        try:
            await self.chat("-")
        except ProblemError as problem:
            log.warning("legacy.unavailable", why=problem.detail)


def old_tables(
    settings: LegacySettings, here: PostgresReader, there: PostgresReader | None
) -> OldTables:
    """By the settings: in meterd's own database, or in another one."""
    asked = (there or here) if settings.enabled else None
    return OldTables(asked, settings.names, settings.policy)
