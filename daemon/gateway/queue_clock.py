"""The queue's clock, known without asking for every answer."""

import asyncio
import contextlib
import time
from typing import Final

import redis

from persistence.redis.client import AsyncRedisClients

SAMPLE_S: Final = 5.0


def local_ms() -> float:
    """This machine's clock."""
    return time.time_ns() / 1e6


class QueueClock:
    """How far the queue's clock is from ours, sampled now and then."""

    def __init__(self, clients: AsyncRedisClients) -> None:
        """Until the first sample, our own clock."""
        self._clients = clients
        self._offset_ms = 0.0

    def now_ms(self) -> int:
        """The queue's clock, as far as we know it."""
        return int(local_ms() + self._offset_ms)

    async def sample(self) -> None:
        """Ask Redis for the time; half the round trip is its way back.

        Of several servers, the first that answers: their clocks are to be the same.
        """
        numbers = range(len(self._clients.servers.urls))
        for number in numbers:
            try:
                before = local_ms()
                seconds, microseconds = await self._clients.of(number).time()
            except redis.RedisError:
                if number == numbers[-1]:
                    raise
                continue
            after = local_ms()
            self._offset_ms = seconds * 1000 + microseconds / 1000 - (before + after) / 2
            return

    async def keep(self) -> None:
        """Sample on, for ever."""
        while True:
            with contextlib.suppress(redis.RedisError):
                await self.sample()
            await asyncio.sleep(SAMPLE_S)
