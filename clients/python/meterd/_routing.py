"""Where a command, a chat and an account are: with several partitions, in that of the user."""

import json
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import redis

from meterd._io import Arg
from meterd.rules.partitions import partition_of
from meterd.rules.redis_keys import Keys

OWNERS_MAX: Final = 10_000
"""Chats whose user is remembered: whose a chat is never changes."""

ABSENT_S: Final = 5.0
"""For so long there is one partition if Redis has no layout: the first daemon may come yet."""

Call = Callable[..., Awaitable[Any]]
"""Does one Redis command."""


class Routing:
    """What one client knows of the partitions; nothing is asked before the first call."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._partitions = 0
        self._absent_until_s = 0.0
        self._owners: dict[str, str] = {}
        self._starters: dict[str, str] = {}
        """A chat, and who its user is by a command sent here; the daemon may have refused it."""

    async def partitions(self, call: Call) -> int:
        """How many there are: fixed when the data is made, so what Redis has is asked for once.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        if self._partitions:
            return self._partitions
        if time.monotonic() < self._absent_until_s:
            return 1
        try:
            raw: Any = await call("GET", Keys().layout)
        except redis.exceptions.NoPermissionError:
            raw = None  # the rights of a client of one partition; the daemon names a wrong one
        if raw:
            self._partitions = int(json.loads(raw)["partitions"])
            return self._partitions
        self._absent_until_s = time.monotonic() + ABSENT_S
        return 1

    async def all_keys(self, call: Call) -> list[Keys]:
        """The keys of each partition. Raises as ``partitions``."""
        return [Keys(number) for number in range(await self.partitions(call))]

    async def of_user(self, user_id: str, call: Call) -> Keys:
        """The keys of the user's partition. Raises as ``partitions``."""
        return Keys(partition_of(user_id, await self.partitions(call)))

    async def of_command(
        self, fields: Mapping[str, object], call: Call, owner: Callable[[str], Awaitable[str]]
    ) -> tuple[Keys, Mapping[str, object]] | None:
        """Where a command belongs, and its fields: with several partitions the user is among them.

        None if nobody knows whose the chat is.

        Args:
            fields: the command's.
            call: does a Redis command.
            owner: the user of a chat that Redis does not have; empty if there is none.
        """
        partitions = await self.partitions(call)
        if partitions == 1:
            return Keys(), fields
        user, chat_id = fields.get("user_id"), fields.get("chat_id")
        if user is None:
            user = await self._owner(str(chat_id), call, owner)
            if not user:
                return None
        elif chat_id is not None:
            _remember(self._starters, str(chat_id), str(user))
        return Keys(partition_of(str(user), partitions)), {**fields, "user_id": user}

    async def _owner(self, chat_id: str, call: Call, owner: Callable[[str], Awaitable[str]]) -> str:
        known = self._owners.get(chat_id, "")
        if not known:
            raw = await self.snapshot(chat_id, call)
            known = str(json.loads(raw)["user_id"]) if raw else await owner(chat_id)
        if known:
            _remember(self._owners, chat_id, known)
        # A start that was sent a moment ago: nobody else knows the chat yet.
        return known or self._starters.get(chat_id, "")

    async def snapshot(self, chat_id: str, call: Call) -> bytes | None:
        """A chat's snapshot, in whichever partition it is. Raises as ``partitions``."""
        names: list[Arg] = [keys.chat(chat_id) for keys in await self.all_keys(call)]
        if len(names) == 1:
            found: list[Any] = [await call("GET", *names)]
        else:
            found = await call("MGET", *names)
        return next((raw for raw in found if raw is not None), None)


def _remember(users: dict[str, str], chat_id: str, user_id: str) -> None:
    if len(users) >= OWNERS_MAX:
        users.clear()
    users[chat_id] = user_id
