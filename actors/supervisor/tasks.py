"""Ending tasks for sure."""

import asyncio
from typing import Any, Final

AGAIN_S: Final = 0.5


async def end_tasks(*tasks: "asyncio.Task[Any]") -> None:
    """Cancel tasks until they have ended, whatever they end with.

    Once is not enough: libraries of Python 3.11 swallow a cancellation that comes in the moment at
    which what they waited for is there (``wait_for``, the time-outs of the Redis client).
    """
    while waiting := [task for task in tasks if not task.done()]:
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting, timeout=AGAIN_S)
