"""Where a command, a chat and an account are: with several partitions, in that of the user."""

import contextlib
import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import redis

from meterd._io import Arg, Io
from meterd.redis_servers import RedisServers
from meterd.rules.partitions import partition_of
from meterd.rules.redis_keys import Keys

OWNERS_MAX: Final = 10_000
"""Chats whose user is remembered: whose a chat is never changes."""

ABSENT_S: Final = 5.0
"""For so long there is one partition if Redis has no layout: the first daemon may come yet."""

Call = Callable[..., Awaitable[Any]]
"""Does one Redis command, where a partition is: its number comes before the command."""


class Routing:
    """What one client knows of the partitions; nothing is asked before the first call."""

    def __init__(self, servers: RedisServers) -> None:
        """Nothing is known yet but the servers."""
        self.servers = servers
        self._partitions = 0
        self._found: set[int] = set()
        """Partitions whose server has them, of several."""
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
        raw = await self._layout(call)
        if raw:
            self._partitions = int(json.loads(raw)["partitions"])
            return self._partitions
        self._absent_until_s = time.monotonic() + ABSENT_S
        return 1

    async def _layout(self, call: Call) -> Any:
        """What the first server says that knows it; each has a partition of that number."""
        failure: redis.RedisError | None = None
        for number in range(len(self.servers.urls)):
            try:
                raw = await call(number, "GET", Keys(number).layout)
            except redis.exceptions.NoPermissionError:
                return None  # the rights of a client of one partition; the daemon names a wrong one
            except redis.RedisError as error:
                failure = error
                continue
            if raw is not None:
                return raw
        if failure is not None:
            raise failure
        if len(self.servers.urls) > 1:
            raise _misplaced(0)
        return None

    async def _placed(self, partition: int, call: Call) -> Keys:
        """The keys of a partition, once its server has said that it has it.

        Else a command would wait where no daemon reads, as with one URL out of several.

        Raises:
            redis.ConnectionError: its server does not have it.
        """
        keys = Keys(partition)
        if self._partitions > 1 and partition not in self._found:
            with contextlib.suppress(redis.exceptions.NoPermissionError):
                if await call(partition, "GET", keys.layout) is None:
                    raise _misplaced(partition)
            self._found.add(partition)
        return keys

    async def all_keys(self, call: Call) -> list[Keys]:
        """The keys of each partition. Raises as ``partitions``."""
        return [Keys(number) for number in range(await self.partitions(call))]

    async def of_user(self, user_id: str, call: Call) -> Keys:
        """The keys of the user's partition. Raises as ``partitions``."""
        return await self._placed(partition_of(user_id, await self.partitions(call)), call)

    async def of_command(
        self, fields: Mapping[str, object], io: Io, owner: Callable[[str], Awaitable[str]]
    ) -> tuple[Keys, Mapping[str, object]] | None:
        """Where a command belongs, and its fields: with several partitions the user is among them.

        None if nobody knows whose the chat is.

        Args:
            fields: the command's.
            io: asks Redis.
            owner: the user of a chat that Redis does not have; empty if there is none.
        """
        partitions = await self.partitions(io.call)
        if partitions == 1:
            return Keys(), fields
        user, chat_id = fields.get("user_id"), fields.get("chat_id")
        if user is None:
            user = await self._owner(str(chat_id), io, owner)
            if not user:
                return None
        elif chat_id is not None:
            _remember(self._starters, str(chat_id), str(user))
        keys = await self._placed(partition_of(str(user), partitions), io.call)
        return keys, {**fields, "user_id": user}

    async def _owner(self, chat_id: str, io: Io, owner: Callable[[str], Awaitable[str]]) -> str:
        known = self._owners.get(chat_id, "")
        if not known:
            raw = await self.snapshot(chat_id, io)
            known = str(json.loads(raw)["user_id"]) if raw else await owner(chat_id)
        if known:
            _remember(self._owners, chat_id, known)
        # A start that was sent a moment ago: nobody else knows the chat yet.
        return known or self._starters.get(chat_id, "")

    async def snapshot(self, chat_id: str, io: Io) -> bytes | None:
        """A chat's snapshot, in whichever partition it is. Raises as ``partitions``."""
        groups = self.servers.groups(await self.partitions(io.call)).values()
        answers = await io.each([partial(_snapshots, io.call, chat_id, each) for each in groups])
        found = [raw for one in answers if not isinstance(one, Exception) for raw in one if raw]
        if not found:
            for error in filter(_is_error, answers):
                raise error
        return found[0] if found else None


def _misplaced(partition: int) -> redis.ConnectionError:
    return redis.ConnectionError(
        f"the Redis of partition {partition} does not have it: give all URLs of the daemon, in its "
        "order, and start a daemon first"
    )


async def _snapshots(call: Call, chat_id: str, numbers: Sequence[int]) -> Sequence[bytes | None]:
    """What partitions on one server have of a chat."""
    names: list[Arg] = [Keys(number).chat(chat_id) for number in numbers]
    if len(names) == 1:
        return [await call(numbers[0], "GET", *names)]
    found: list[bytes | None] = await call(numbers[0], "MGET", *names)
    return found


def _is_error(answer: Any) -> bool:
    return isinstance(answer, Exception)


def _remember(users: dict[str, str], chat_id: str, user_id: str) -> None:
    if len(users) >= OWNERS_MAX:
        users.clear()
    users[chat_id] = user_id
