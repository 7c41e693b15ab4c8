"""What became of chats that are not open: Redis for a day, Postgres for ever."""

import asyncio
from collections.abc import Sequence
from typing import Any

import redis.asyncio
import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from actors.chat.rows import chat_of_record
from meterd.rules.model import Chat
from meterd.rules.redis_keys import Keys
from persistence.postgres.reader import fetch_records
from persistence.redis.account_reader import read_chats

log = structlog.get_logger()


class ClosedChats:
    """Looks chats up that the supervisor does not know to be open."""

    def __init__(self, client: redis.asyncio.Redis, keys: Keys, engine: Engine) -> None:
        """Ask Redis first, Postgres for the rest."""
        self._client = client
        self._keys = keys
        self._engine = engine

    async def find(self, chat_ids: Sequence[str]) -> dict[str, Chat]:
        """Chats that ever started, by id; ids that never did are not in the answer.

        While Postgres is away only Redis answers: metering goes on, and a chat that ended more
        than a day ago looks as if it had never been.
        """
        raws: Any = await self._client.mget([self._keys.chat(chat_id) for chat_id in chat_ids])
        found = read_chats(chat_ids, raws)
        rest = [chat_id for chat_id in chat_ids if chat_id not in found]
        return found | (await asyncio.to_thread(self._from_postgres, rest) if rest else {})

    def _from_postgres(self, chat_ids: list[str]) -> dict[str, Chat]:
        try:
            with self._engine.connect() as connection:
                rows = fetch_records(connection, chat_ids)
        except SQLAlchemyError as error:
            log.warning("closed_chats.unavailable", error=type(error).__name__, chats=len(chat_ids))
            return {}
        return {chat_id: chat_of_record(row) for chat_id, row in rows.items()}
