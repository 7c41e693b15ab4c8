"""Dead letters of all partitions in one list, and what each is called in it."""

import heapq
import re
from typing import Any, Final, NamedTuple

import redis

from daemon.gateway.errors import redis_unavailable
from daemon.gateway.partition_keys import PartitionKeys
from meterd.rules.commands import entry_key
from persistence.redis.client import AsyncRedisClients
from persistence.redis.dead_letters import DeadLetter, read_letter

LETTER: Final = r"^([0-9]{1,3}:)?[0-9]{1,20}-[0-9]{1,20}$"
"""What a dead letter is called: its ID in its stream, of several partitions behind its number."""

_STREAM_ID_MAX: Final = 2**64 - 1


class NamedLetter(NamedTuple):
    """A dead letter and where it is."""

    partition: int
    letter: DeadLetter


def letter_name(partition: int, letter: str, partitions: int) -> str:
    """What a letter is called among those of so many partitions."""
    return letter if partitions == 1 else f"{partition}:{letter}"


def read_name(name: str, partitions: int) -> tuple[int, str] | None:
    """The partition and the ID in its stream that a name stands for; None if it stands for none."""
    if not re.fullmatch(LETTER, name):
        return None
    number, colon, letter = name.rpartition(":")
    if bool(colon) != (partitions > 1) or int(number or 0) >= partitions:
        return None
    if max(entry_key(letter)) > _STREAM_ID_MAX:
        return None
    return int(number or 0), letter


async def list_letters(
    clients: AsyncRedisClients, keys: PartitionKeys, after: tuple[int, str] | None, most: int
) -> list[NamedLetter]:
    """So many letters, the newest first, from behind one on. Raises ProblemError: Redis is away."""
    letters: list[NamedLetter] = []
    try:
        for client, numbers in clients.groups(len(keys)):
            pipeline = client.pipeline(transaction=False)
            for number in numbers:
                pipeline.xrevrange(keys[number].dead, _last(number, after), "-", count=most)
            found: list[Any] = await pipeline.execute()
            letters += (
                NamedLetter(number, read_letter(raw))
                for number, raws in zip(numbers, found, strict=True)
                for raw in raws
            )
    except redis.RedisError as error:
        raise redis_unavailable(error) from None
    return heapq.nlargest(most, letters, key=_order)


def _order(one: NamedLetter) -> tuple[tuple[int, int], int]:
    return entry_key(one.letter.letter), one.partition


def _last(partition: int, after: tuple[int, str] | None) -> str:
    """The newest of a partition behind ``after``; of equal IDs the higher number comes first."""
    if after is None:
        return "+"
    number, letter = after
    return letter if partition < number else f"({letter}"
