"""The queue's clock, known without asking for every answer."""

import asyncio
import contextlib
import time
from typing import Any, Final

import redis
import redis.asyncio

SAMPLE_S: Final = 5.0


def local_ms() -> float:
    """This machine's clock."""
    return time.time_ns() / 1e6


class QueueClock:
    """How far the queue's clock is from ours, sampled now and then."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        """Until the first sample, our own clock."""
        self._client = client
        self._offset_ms = 0.0

    def now_ms(self) -> int:
        """The queue's clock, as far as we know it."""
        return int(local_ms() + self._offset_ms)

    async def sample(self) -> None:
        """Ask Redis for the time; half the round trip is its way back."""
        before = local_ms()
        answer: Any = await self._client.time()
        after = local_ms()
        seconds, microseconds = answer
        self._offset_ms = seconds * 1000 + microseconds / 1000 - (before + after) / 2

    async def keep(self) -> None:
        """Sample on, for ever."""
        while True:
            with contextlib.suppress(redis.RedisError):
                await self.sample()
            await asyncio.sleep(SAMPLE_S)
