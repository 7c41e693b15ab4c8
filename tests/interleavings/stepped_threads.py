"""Threads that stop at every round trip, as greenlets, and the clients that make them stop."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import redis
from greenlet import GreenletExit, getcurrent, greenlet

from tests.interleavings.invariant_monitor import Call, InvariantMonitor
from tests.interleavings.library_text import CLOCK_KEY


class Server:
    """The real server; a monitor sees all that reaches it."""

    def __init__(self, client: redis.Redis, monitor: InvariantMonitor) -> None:
        self.client = client
        self.monitor = monitor
        self._connection: Any = client.connection_pool.get_connection()
        self._told_ms = -1

    def execute(self, calls: Sequence[Call]) -> list[Any]:
        """Make these calls in one round trip, now by the play's clock; errors come as answers."""
        if not calls:
            return []
        now_ms = self.monitor.clock.ms
        clock: list[Call] = [("SET", CLOCK_KEY, now_ms)] if now_ms != self._told_ms else []
        self._told_ms = now_ms
        answers = self._ask([*clock, *calls])[len(clock) :]
        for call, answer in zip(calls, answers, strict=True):
            self.monitor.see(call, answer)
        return answers

    def _ask(self, calls: Sequence[Call]) -> list[Any]:
        """The client's own pipeline would do; this takes half its time."""
        self._connection.send_packed_command(self._connection.pack_commands(calls))
        return [self._answer(call[0]) for call in calls]

    def _answer(self, command: str) -> Any:
        try:
            answer = self._connection.read_response()
        except redis.ResponseError as error:
            return error
        callbacks: Any = self.client.response_callbacks
        callback = callbacks.get(command)
        return callback(answer) if callback else answer

    def close(self) -> None:
        """Give the connection back."""
        self.client.connection_pool.release(self._connection)

    def one(self, *call: Any) -> Any:
        """Make one call."""
        (answer,) = self.execute([call])
        if isinstance(answer, Exception):
            raise answer
        return answer


class Request(NamedTuple):
    """A round trip that somebody wants to make."""

    calls: list[Call]

    def cut(self, after: int) -> tuple[list[Call], list[Call]]:
        """What reaches the server before the connection breaks, and what does not."""
        return self.calls[:after], self.calls[after:]


class SteppedThread:
    """One thread of a process: at rest, or stopped at a request."""

    def __init__(self) -> None:
        self.request: Request | None = None
        self._greenlet: greenlet | None = None

    @property
    def is_at_rest(self) -> bool:
        """Whether it has nothing to do."""
        return self._greenlet is None

    def start(self, act: Callable[[], None]) -> None:
        """Run until the first request, or to the end."""
        assert self.is_at_rest
        self._greenlet = greenlet(act)
        self._stop_at(self._greenlet.switch())

    def resume(self, answer: list[Any] | Exception) -> None:
        """Go on with the answer, or with what went wrong."""
        assert self._greenlet is not None
        self._stop_at(self._greenlet.switch(answer))

    def kill(self) -> None:
        """It goes no further."""
        if self._greenlet is not None and not self._greenlet.dead:
            self._greenlet.throw(GreenletExit())
        self._greenlet = self.request = None

    def _stop_at(self, found: object) -> None:
        self.request = found if isinstance(found, Request) else None
        if self.request is None:
            self._greenlet = None


def _ask(*calls: Call) -> list[Any]:
    """Stop here until the play has decided what becomes of the request."""
    answer = getcurrent().parent.switch(Request(list(calls)))
    if isinstance(answer, Exception):
        raise answer
    assert isinstance(answer, list)
    return answer


def _one(*call: Any) -> Any:
    (answer,) = _ask(call)
    if isinstance(answer, Exception):
        raise answer
    return answer


class SteppedClient:
    """As much of a Redis client as workers, timekeepers and recorders use."""

    def get(self, key: str) -> Any:
        return _one("GET", key)

    def mget(self, keys: Sequence[str]) -> Any:
        return _one("MGET", *keys)

    def fcall(self, function: str, count: int, *args: Any) -> Any:
        return _one("FCALL", function, count, *args)

    def xread(self, streams: Mapping[str, str], count: int, block: int) -> Any:
        return _one("XREAD", "COUNT", count, "STREAMS", *streams, *streams.values())

    def pipeline(self, transaction: bool) -> "SteppedPipeline":
        assert not transaction
        return SteppedPipeline()


class SteppedPipeline:
    """Calls that make one round trip together."""

    def __init__(self) -> None:
        self._calls: list[Call] = []

    def __len__(self) -> int:
        return len(self._calls)

    def fcall(self, function: str, count: int, *args: Any) -> None:
        self._calls.append(("FCALL", function, count, *args))

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        answers = _ask(*self._calls) if self._calls else []
        for answer in answers:
            if raise_on_error and isinstance(answer, Exception):
                raise answer
        return answers
