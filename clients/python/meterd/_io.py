"""What the core asks of the outside; threads and asyncio each give it in their way.

The core is written once, as coroutines over these methods. Under asyncio they are awaited as
usual. For threads, every method here does its work before it returns, so a coroutine of the core
runs from start to end in one step, without an event loop.
"""

from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol, TypeAlias

import redis

from meterd._pending import AnyReply, Flag, Future
from meterd._results import ChatSnapshot

Arg: TypeAlias = str | bytes | int
ReadReplies: TypeAlias = Callable[[], Coroutine[Any, Any, None]]
Step: TypeAlias = Callable[[], Coroutine[Any, Any, Any]]
Running: TypeAlias = dict[str, Any]
"""Steps that are running, each with what the driver knows it by."""

BLOCK_MS: Final = 1_000
"""How long one read waits in Redis; below SOCKET_TIMEOUT_S, which ends a dead connection."""
SOCKET_TIMEOUT_S: Final = 3.0
CONNECT_TIMEOUT_S: Final = 2.0
CONNECTIONS_MAX: Final = 32
"""Connections for commands and snapshots; a command holds one for its XADD, not until its reply."""

_PASSING: Final = (
    redis.ConnectionError,
    redis.TimeoutError,
    redis.ReadOnlyError,
    redis.exceptions.ClusterDownError,
    redis.exceptions.TryAgainError,
    redis.exceptions.AskError,  # MOVED is one, too
    redis.exceptions.MasterDownError,
)
_LASTING: Final = (redis.AuthenticationError, redis.exceptions.AuthorizationError)


class Slots(Protocol):
    """A semaphore."""

    def release(self) -> None:
        """Let the next one in."""


class Io(Protocol):
    """One driver."""

    def serve(self, name: str, read_replies: ReadReplies) -> None:
        """Run this until closed, beside everything else; once for each name."""

    async def call(self, partition: int, *command: Arg) -> Any:
        """Do one Redis command where a partition is, once: no silent repetition."""

    async def block(self, partition: int, *command: Arg) -> Any:
        """Do one that may wait in Redis, on a connection that no command needs."""

    async def atomic(self, partition: int, *commands: tuple[Arg, ...]) -> list[Any]:
        """Do several in one transaction; an error is a result in its place."""

    async def each(self, calls: Sequence[Step]) -> list[Any]:
        """Do all of these; what one raises is its result."""

    async def first(self, steps: Mapping[str, Step], running: Running, timeout_s: float) -> None:
        """Wait until one of these is done, or for so long; the others go on.

        What one raises is of no matter.

        Args:
            steps: what to run side by side, but for what is running already.
            running: what is running; what is done is taken out.
            timeout_s: how long to wait.
        """

    async def record(self, chat_id: str) -> ChatSnapshot | None:
        """The chat's record in Postgres; None if it has none, or no Postgres was named."""

    async def sleep(self, seconds: float) -> None:
        """Wait; cut short by closing."""

    async def wait(self, flag: Any) -> None:
        """Wait until the flag is raised."""

    async def enter(self, handles: Any, timeout_s: float) -> bool:
        """Wait for a slot; False if none got free in time."""

    async def result(self, future: Any, timeout_s: float) -> AnyReply:
        """Wait for the reply; TimeoutError if it does not come in time."""

    def future(self) -> Future:
        """Where a reply will be put."""

    def flag(self) -> Flag:
        """A flag, lowered."""

    def handles(self, number: int) -> Slots:
        """A semaphore with so many slots."""


def bounded_options(options: dict[str, Any], no_retry: Any) -> dict[str, Any]:
    """What a URL says, and what must hold whatever it says."""
    return {
        **options,
        "retry": no_retry,  # redis-py repeats by itself, which makes one XADD two entries
        "protocol": 2,  # RESP3 gives streams another shape
        "decode_responses": False,
        "socket_timeout": SOCKET_TIMEOUT_S,
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "socket_keepalive": True,
    }


def is_passing(error: redis.RedisError) -> bool:
    """Whether it may soon be over: a lost connection, a server that restarts or fails over."""
    return isinstance(error, _PASSING) and not isinstance(error, _LASTING)


def pauses_s() -> Iterator[float]:
    """Pauses between attempts: none at first (a connection left idle was cut), then growing."""
    yield 0.0
    pause_s = 0.05
    while True:
        yield pause_s
        pause_s = min(1.0, 2 * pause_s)
