"""What the daemons that work on a Redis say of themselves, over all partitions."""

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import redis

from actors.supervisor.merged_status import merge_statuses
from meterd.rules.redis_keys import Keys
from persistence.redis.client import AsyncRedisClients, RedisClients
from persistence.redis.layout import read_partitions
from persistence.redis.published_status import read_status, read_status_async

_Found: TypeAlias = dict[str, Any] | redis.RedisError | None

_NOBODY: Final = {"state": "down", "why": "no daemon works on it"}


def read_whole_status(clients: RedisClients) -> dict[str, Any] | None:
    """The status of all partitions; None if no daemon works on any of them.

    Raises:
        redis.RedisError: no Redis answers.
    """
    found: dict[int, _Found] = {}
    for client, numbers in clients.groups(read_partitions(clients)):
        for number in numbers:
            try:
                found[number] = read_status(client, Keys(number))
            except redis.RedisError as error:
                found |= dict.fromkeys(numbers, error)  # the server is away: asked once
                break
    return _merged([found[number] for number in sorted(found)])


async def read_whole_status_async(
    clients: AsyncRedisClients, partitions: int
) -> dict[str, Any] | None:
    """The same with asyncio, of so many partitions. Raises as ``read_whole_status``."""
    found: dict[int, _Found] = {}
    for client, numbers in clients.groups(partitions):
        for number in numbers:
            try:
                found[number] = await read_status_async(client, Keys(number))
            except redis.RedisError as error:
                found |= dict.fromkeys(numbers, error)
                break
    return _merged([found[number] for number in sorted(found)])


def _merged(found: Sequence[_Found]) -> dict[str, Any] | None:
    failed = [one for one in found if isinstance(one, redis.RedisError)]
    if len(failed) == len(found):
        raise failed[0]
    told = [_line(number, one) for number, one in enumerate(found)]
    return merge_statuses(told) if any(found) else None


def _line(number: int, found: _Found) -> dict[str, Any]:
    if isinstance(found, redis.RedisError):
        why = f"Redis does not answer: {found}"
        line = {"partition": number, "state": "degraded", "why": why, "epoch": "", "open_chats": 0}
        return {"state": "degraded", "why": why, "partitions": [line]}
    return found or _NOBODY
