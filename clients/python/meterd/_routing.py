"""Where a command, a chat and an account are: with several partitions, in that of the user."""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import redis

from meterd._io import Arg
from meterd.rules.partitions import partition_of
from meterd.rules.redis_keys import Keys

OWNERS_MAX: Final = 10_000
"""Chats whose user is remembered: whose a chat is never changes."""

Call = Callable[..., Awaitable[Any]]
"""Does one Redis command."""


class Routing:
    """What one client knows of the partitions; nothing is asked before the first call."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._partitions = 0
        self._owners: dict[str, str] = {}

    async def partitions(self, call: Call) -> int:
        """How many there are: fixed when the data is made, so it is asked for once.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        if not self._partitions:
            try:
                raw: Any = await call("GET", Keys().layout)
            except redis.exceptions.NoPermissionError:
                raw = None  # the rights of a client of one partition; the daemon names a wrong one
            self._partitions = int(json.loads(raw)["partitions"]) if raw else 1
        return self._partitions

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
        user = fields.get("user_id")
        if user is None:
            user = await self._owner(str(fields["chat_id"]), call, owner)
            if not user:
                return None
        return Keys(partition_of(str(user), partitions)), {**fields, "user_id": user}

    async def _owner(self, chat_id: str, call: Call, owner: Callable[[str], Awaitable[str]]) -> str:
        known = self._owners.get(chat_id, "")
        if not known:
            raw = await self.snapshot(chat_id, call)
            known = str(json.loads(raw)["user_id"]) if raw else await owner(chat_id)
        if known:
            if len(self._owners) >= OWNERS_MAX:
                self._owners.clear()
            self._owners[chat_id] = known
        return known

    async def snapshot(self, chat_id: str, call: Call) -> bytes | None:
        """A chat's snapshot, in whichever partition it is. Raises as ``partitions``."""
        names: list[Arg] = [keys.chat(chat_id) for keys in await self.all_keys(call)]
        if len(names) == 1:
            found: list[Any] = [await call("GET", *names)]
        else:
            found = await call("MGET", *names)
        return next((raw for raw in found if raw is not None), None)
