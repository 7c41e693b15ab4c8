"""Reading what commits wrote: accounts and chats, many in one round trip."""

from collections.abc import Iterable, Sequence
from typing import Any, cast

import msgspec
import redis

from meterd.rules.model import Account, Chat
from meterd.rules.redis_keys import Keys
from meterd.rules.snapshots import chat_from_snapshot
from persistence.redis.commit import unpack_state


class AccountReader:
    """Accounts and chats in Redis, for an actor."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        """Read through ``client``."""
        self._client = client
        self._keys = keys

    def load(
        self, users: Sequence[str], chats: Sequence[str]
    ) -> tuple[dict[str, tuple[str, Account]], dict[str, Chat]]:
        """Accounts with their last applied entries, and chats by their snapshots.

        Accounts that are not there come new and empty; chats that are not there don't come.
        """
        wanted = [self._keys.account(u) for u in users] + [self._keys.chat(c) for c in chats]
        if not wanted:
            return {}, {}
        found = cast("list[bytes | None]", self._client.mget(wanted))
        accounts = {u: unpack_state(raw, u) for u, raw in zip(users, found, strict=False)}
        return accounts, read_chats(chats, found[len(users) :])


def read_chats(chat_ids: Iterable[str], raws: Iterable[bytes | None]) -> dict[str, Chat]:
    """Chats from their snapshots' JSON, where there is any."""
    found = {}
    for chat_id, raw in zip(chat_ids, raws, strict=True):
        if raw is not None:
            snapshot: dict[str, Any] = msgspec.json.decode(raw)
            found[chat_id] = chat_from_snapshot(snapshot)
    return found
