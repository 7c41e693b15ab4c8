"""One chat of the old tables, for those who answer queries before it is imported."""

import msgspec
from sqlalchemy import Connection

from daemon.legacy.rules.imported_chats import chat_of_pair
from daemon.legacy.store.reader import pair_of_chat
from daemon.legacy.store.shape import LegacyShape
from meterd import ChatSnapshot
from meterd.rules.model import LEGACY, Chat
from meterd.rules.snapshots import chat_snapshot
from persistence.postgres.convert import check_texts


def read_chat(connection: Connection, shape: LegacyShape, policy: str, chat_id: str) -> Chat | None:
    """Return the chat as it will be once it is imported, or as it runs in the old system.

    Args:
        connection: to the old database.
        shape: of its tables.
        policy: how the time of a pair is divided, as ``legacy.policy`` says.
        chat_id: any text, since the old system had names that meterd refuses.

    Raises:
        LegacyError: a table or column is not there.
    """
    if not can_be_asked(chat_id):
        return None
    pair = pair_of_chat(connection, shape, chat_id)
    return chat_of_pair(pair, shape.division(policy), chat_id) if pair else None


def read_snapshot(
    connection: Connection, shape: LegacyShape, policy: str, chat_id: str
) -> ChatSnapshot | None:
    """Return the same as the client's snapshot, with ``source: legacy``; None if unknown.

    Raises:
        LegacyError: a table or column is not there.
    """
    chat = read_chat(connection, shape, policy, chat_id)
    if chat is None:
        return None
    return msgspec.convert({**chat_snapshot(chat, chat.as_of_ms), "source": LEGACY}, ChatSnapshot)


def can_be_asked(chat_id: str) -> bool:
    """Return whether a database takes the id as a parameter: no NUL, no lone surrogate."""
    try:
        check_texts((chat_id,))
    except ValueError:
        return False
    return True
