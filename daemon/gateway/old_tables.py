"""Chats that have not come over yet, as the old tables have them."""

import asyncio

import structlog
from sqlalchemy import Connection

from actors.rules.brought import chat_of_pair
from actors.rules.legacy_rows import Pair
from actors.rules.state import Chat
from daemon.gateway.problems import Problem, legacy_away
from daemon.gateway.records import Records
from daemon.legacy_settings import LegacySettings
from persistence.legacy.layout import LegacyError
from persistence.legacy.names import LegacyNames
from persistence.legacy.read import pair_of_chat
from persistence.postgres.convert import check_texts

log = structlog.get_logger()


class OldTables:
    """Asks the old database about chats; without one, it knows none."""

    def __init__(self, records: Records | None, names: LegacyNames, policy: str) -> None:
        """``records``: puts the questions to the old database; None if there is none."""
        self._records = records
        self._names = names
        self._policy = policy

    async def chat(self, chat_id: str) -> Chat | None:
        """The chat as it will be once it has come over, or as it runs there.

        Raises Problem: the old database is away, or is not as the settings say.
        """
        if self._records is None or not _can_be(chat_id):
            return None

        def question(connection: Connection) -> Pair | None:
            return pair_of_chat(connection, self._names, chat_id)

        try:
            pair = await self._records.ask(question)
        except LegacyError as error:
            raise legacy_away(str(error).partition("\n")[0]) from error
        # A pair may have had thousands of chats: others are served meanwhile.
        return await asyncio.to_thread(self._chat, pair, chat_id) if pair else None

    async def try_out(self) -> None:
        """Ask for any chat, and log what everybody would be told who asks for one."""
        try:
            await self.chat("-")
        except Problem as problem:
            log.warning("legacy.away", why=problem.detail)

    def _chat(self, pair: Pair, chat_id: str) -> Chat | None:
        return chat_of_pair(pair, self._policy, chat_id)


def old_tables(settings: LegacySettings, here: Records, there: Records | None) -> OldTables:
    """By the settings: in meterd's own database, or in another one."""
    asked = (there or here) if settings.enabled else None
    return OldTables(asked, settings.names, settings.policy)


def _can_be(chat_id: str) -> bool:
    """Whether the database can be asked for it at all."""
    try:
        check_texts((chat_id,))
    except ValueError:
        return False
    return True
