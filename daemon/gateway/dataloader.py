"""Many readers, few round trips: what is asked for while a call is on its way shares the next."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, NamedTuple, TypeVar

from daemon.gateway.errors import BusyLoaderError

V = TypeVar("V")

PENDING_MAX: Final = 20_000


class _Ask(NamedTuple, Generic[V]):
    keys: tuple[str, ...]
    answer: "asyncio.Future[list[V]]"


class DataLoader(Generic[V]):
    """Reads values by key, one call at a time; keys asked for together are read together."""

    def __init__(
        self, fetch: Callable[[Sequence[str]], Awaitable[Sequence[V]]], keys_max: int
    ) -> None:
        """``fetch`` gives the values of keys in their order; at most about ``keys_max`` a call."""
        self._fetch = fetch
        self._keys_max = keys_max
        self._pending: list[_Ask[V]] = []
        self._task: asyncio.Task[None] | None = None

    async def load(self, *keys: str) -> list[V]:
        """The values of these keys, as they were at one moment.

        Raises:
            BusyLoaderError: too many wait.
            Exception: what ``fetch`` raised.
        """
        if len(self._pending) >= PENDING_MAX:
            raise BusyLoaderError("too many reads are waiting")
        answer: asyncio.Future[list[V]] = asyncio.get_running_loop().create_future()
        self._pending.append(_Ask(keys, answer))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())
        return await answer

    async def _work(self) -> None:
        while self._pending:
            asks = self._next()
            try:
                values = await self._fetch([key for ask in asks for key in ask.keys])
            except Exception as error:  # whoever asked is told
                _fail(asks, error)
            else:
                _hand_out(asks, values)

    def _next(self) -> list[_Ask[V]]:
        asks, keys = 0, 0
        while asks < len(self._pending) and keys < self._keys_max:
            keys += len(self._pending[asks].keys)
            asks += 1
        taken, self._pending = self._pending[:asks], self._pending[asks:]
        return taken


def _hand_out(asks: list[_Ask[V]], values: Sequence[V]) -> None:
    at = 0
    for ask in asks:
        if not ask.answer.done():  # whoever asked may have gone
            ask.answer.set_result(list(values[at : at + len(ask.keys)]))
        at += len(ask.keys)


def _fail(asks: list[_Ask[V]], error: Exception) -> None:
    for ask in asks:
        if not ask.answer.done():
            ask.answer.set_exception(error)
