"""Whether the head of the Ray cluster answers: without it what runs goes on, and nothing starts."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

ANSWER_S_MAX: Final = 4.0
"""The head counts as away when it has not answered for so long."""
POLL_S: Final = 2.0


class HeadMonitor:
    """Asks the head again and again, one question at a time."""

    def __init__(
        self,
        ask: Callable[[], Awaitable[object]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``ask`` is answered by the head, or fails; ``clock``: seconds that never go back."""
        self._ask = ask
        self._clock = clock
        self._away_s: float | None = None

    async def run_forever(self, poll_s: float = POLL_S) -> None:
        """Ask until cancelled, with ``poll_s`` seconds between an answer and the next question."""
        while True:
            asked_s = self._clock()
            asked = asyncio.ensure_future(self._ask())
            try:
                await self._await(asked, asked_s)
            finally:
                asked.cancel()
            await asyncio.sleep(poll_s)

    async def _await(self, asked: "asyncio.Future[object]", asked_s: float) -> None:
        done, _ = await asyncio.wait([asked], timeout=ANSWER_S_MAX)
        if not done:
            self._lost(asked_s)
            await asyncio.wait([asked])  # however long: a second question would only wait as well
        if asked.exception() is None:
            self._away_s = None
        else:
            self._lost(asked_s)

    def _lost(self, since_s: float) -> None:
        if self._away_s is None:
            self._away_s = since_s

    def trouble(self) -> str:
        """What a person should know; empty while the head answers."""
        if self._away_s is None:
            return ""
        for_s = int(self._clock() - self._away_s)
        return f"Ray's head has not answered for {for_s} s: nothing can start, what runs goes on"
