"""Both clients behind one face, so that each property is tested on both."""

import asyncio
import contextlib
import inspect
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from meterd import AsyncMeter, Event, Meter


class Threads:
    """``Meter`` as it is."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.meter = Meter(*args, **kwargs)
        self.core = self.meter._core

    def __getattr__(self, name: str) -> Any:
        return getattr(self.meter, name)

    def gather(self, calls: list[Callable[[Any], Any]]) -> list[Any]:
        results: list[Any] = [None] * len(calls)

        def one(number: int) -> None:
            try:
                results[number] = calls[number](self.meter)
            except Exception as error:
                results[number] = error

        threads = [threading.Thread(target=one, args=(n,)) for n in range(len(calls))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results


class Tasks:
    """``AsyncMeter`` with a loop of its own in a thread."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.meter = AsyncMeter(*args, **kwargs)
        self.core = self.meter._core

    def run(self, steps: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(steps, self._loop).result()

    def __getattr__(self, name: str) -> Any:
        return getattr(Methods(self.meter, self.run), name)

    @property
    def enqueue(self) -> "Methods":
        return Methods(self.meter.enqueue, self.run)

    def events(self, *args: Any, **kwargs: Any) -> "TaskEvents":
        return TaskEvents(self, self.meter.events(*args, **kwargs))

    def gather(self, calls: list[Callable[[Any], Any]]) -> list[Any]:
        async def all_of_them() -> list[Any]:
            return await asyncio.gather(
                *(call(self.meter) for call in calls), return_exceptions=True
            )

        return list(self.run(all_of_them()))

    def end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Methods:
    """The methods of an object, each run to its end in the loop."""

    def __init__(self, of: object, run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        self._of = of
        self._run = run

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._of, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            result = method(*args, **kwargs)
            return self._run(result) if inspect.iscoroutine(result) else result

        return call


class TaskEvents:
    """``AsyncEvents`` as an iterator."""

    def __init__(self, tasks: Tasks, events: Any) -> None:
        self._tasks = tasks
        self._events = events

    def __getattr__(self, name: str) -> Any:
        return getattr(self._events, name)

    def __iter__(self) -> "TaskEvents":
        return self

    def __next__(self) -> Event:
        async def one() -> Event | None:
            return await anext(self._events, None)

        event: Event | None = self._tasks.run(one())
        if event is None:
            raise StopIteration
        return event

    def __enter__(self) -> "TaskEvents":
        self._tasks.run(self._events.__aenter__())
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


Make = Callable[..., Any]


@contextlib.contextmanager
def maker(kind: str) -> Iterator[Make]:
    """Makes clients, and closes them in the end."""
    made: list[Threads | Tasks] = []

    def make(*args: Any, **kwargs: Any) -> Threads | Tasks:
        made.append((Threads if kind == "threads" else Tasks)(*args, **kwargs))
        return made[-1]

    try:
        yield make
    finally:
        for client in made:
            client.close()
            if isinstance(client, Tasks):
                client.end_loop()
