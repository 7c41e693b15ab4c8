"""What the daemons that work on a Redis say of themselves, over all partitions."""

from collections.abc import Iterable, Sequence
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
    return _merged([_status_of(clients, number) for number in range(read_partitions(clients))])


async def read_whole_status_async(
    clients: AsyncRedisClients, partitions: Iterable[Keys]
) -> dict[str, Any] | None:
    """The same with asyncio, of these partitions. Raises as ``read_whole_status``."""
    return _merged([await _status_of_async(clients, keys) for keys in partitions])


def _status_of(clients: RedisClients, number: int) -> _Found:
    try:
        return read_status(clients.of(number), Keys(number))
    except redis.RedisError as error:
        return error


async def _status_of_async(clients: AsyncRedisClients, keys: Keys) -> _Found:
    try:
        return await read_status_async(clients.of(keys.partition), keys)
    except redis.RedisError as error:
        return error


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
