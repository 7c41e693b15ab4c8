"""Chats that are still in the system before meterd, only for who says where that is."""

from typing import Any, NamedTuple

import msgspec

from actors.rules.brought import chat_of_pair
from actors.rules.legacy_rows import LATEST, POLICIES, Pair
from actors.rules.state import LEGACY
from actors.rules.views import chat_snapshot
from meterd._errors import UnavailableError
from meterd._postgres import Postgres
from meterd._results import ChatSnapshot
from persistence.legacy.layout import LegacyError, look
from persistence.legacy.names import LegacyNames
from persistence.legacy.one import pair_of_chat


class Legacy(NamedTuple):
    """Where the old tables are, and how their time is divided; as the daemon's settings say."""

    names: LegacyNames
    url: str
    policy: str = LATEST


class Old:
    """Reads the old tables through a connection of its own; threads take turns."""

    def __init__(self, legacy: Legacy) -> None:
        """Nothing is connected yet."""
        self._legacy = legacy
        self._postgres = Postgres(legacy.url, "the old tables can't be read")
        self._layout: Any = None

    def fetch(self, chat_id: str) -> ChatSnapshot | None:
        """The chat as it will be once it has come over, or as it runs there; None if unknown.

        Raises:
            UnavailableError: the old database does not answer, or is not as the names say.
        """
        if not _can_be(chat_id):
            return None
        try:
            pair = self._postgres.ask(lambda connection: self._pair(connection, chat_id))
        except LegacyError as error:
            raise UnavailableError(f"the old tables can't be read: {error}") from error
        chat = chat_of_pair(pair, self._legacy.policy, chat_id) if pair else None
        if chat is None:
            return None
        shown = {**chat_snapshot(chat, chat.as_of), "source": LEGACY}
        return msgspec.convert(shown, ChatSnapshot)

    def close(self) -> None:
        """Let go of the connection."""
        self._postgres.close()

    def _pair(self, connection: Any, chat_id: str) -> Pair | None:
        def rows(sql: str, parameters: Any) -> list[Any]:
            with connection.cursor() as cursor:
                try:
                    cursor.execute(sql, parameters)
                except self._postgres.data_error:
                    return []  # an id that the column's type can't hold
                found: list[Any] = cursor.fetchall()
                return found

        if self._layout is None:
            self._layout = look(rows, self._legacy.names)
        return pair_of_chat(rows, self._layout, chat_id)


def _can_be(chat_id: str) -> bool:
    """Whether a database can be asked for it at all."""
    try:
        return b"\0" not in chat_id.encode()
    except UnicodeEncodeError:
        return False


def legacy_of(names: LegacyNames | None, url: str | None, policy: str) -> Legacy | None:
    """What was said of the old tables, if anything was. Raises ValueError: not where they are."""
    if names is None:
        return None
    if url is None:
        raise ValueError("legacy: name the database of the old tables, by legacy_url")
    if policy not in POLICIES:
        raise ValueError(f"legacy_policy: want one of {', '.join(POLICIES)}")
    return Legacy(names, url, policy)
