"""Everything that happens, for backends: in order, each once, from wherever one has been before."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from typing import Final, NamedTuple

import msgspec

from daemon.gateway.authorization import Caller
from daemon.gateway.errors import ProblemError, redis_unavailable
from daemon.gateway.streams.messages import KEEP_ALIVE, end, sse
from daemon.gateway.streams.stream import EventStream
from daemon.gateway.streams.subscriber import LOST, SHUTDOWN, TOKEN_EXPIRED
from daemon.gateway.views import pack
from meterd import AsyncEvents, AsyncMeter, Event, EventsLostError, UnavailableError
from meterd.rules.snapshots import JsonObject

FOLLOWERS_MAX: Final = 64
"""Readers of all events at once: each has a connection to Redis while it waits."""
_LOOK_S: Final = 1.0
"""How long one look may take: then the token and the gateway may have come to their end."""
_RETRY_S: Final = 0.5


class EventsPage(NamedTuple):
    """Events in order, and the place to go on after."""

    events: list[JsonObject]
    next: str


class EventFeed:
    """Gives events out by page or as a stream."""

    def __init__(self, meter: AsyncMeter, keep_alive_s: float) -> None:
        """Nothing is read before somebody asks."""
        self._meter = meter
        self._keep_alive_s = keep_alive_s
        self._followers = 0
        self._is_closing = False

    def close(self) -> None:
        """Tell everybody, within a second, that it is over."""
        self._is_closing = True

    async def page(self, after: str, user_id: str | None, limit: int, wait_s: float) -> EventsPage:
        """The events after a place; waits for the first one for so long.

        Raises:
            ProblemError: the place is too old, Redis is away, or too many wait.
        """
        until = time.monotonic() + wait_s
        with self._joined():
            async with self._following(after, user_id) as events:
                found: list[Event] = []
                left_s = wait_s
                while not found and not self._is_closing:
                    found = await events.batch(max(0.0, min(left_s, _LOOK_S)))
                    left_s = until - time.monotonic()
                    if left_s <= 0:
                        break
                some = found[:limit]
                return EventsPage([_object(e) for e in some], some[-1].id if some else events.after)

    def stream(self, caller: Caller, after: str, user_id: str | None) -> EventStream:
        """The same as server-sent events, until the caller's token ends. Raises ProblemError."""
        self._check_room()
        return EventStream(self._joined(), self._frames(caller, after, user_id))

    async def _frames(
        self, caller: Caller, after: str, user_id: str | None
    ) -> AsyncIterator[bytes]:
        async with self._following(after, user_id) as events:
            # Before the answer begins, so that a place that is too old is told as its status.
            yield _frames_of(await events.batch(0))
            spoken_s = time.monotonic()
            while (reason := self._end_of(caller)) is None:
                try:
                    batch = await events.batch(_LOOK_S)
                except EventsLostError:
                    reason = LOST
                    break
                except UnavailableError:
                    await asyncio.sleep(_RETRY_S)
                    continue
                if batch or time.monotonic() - spoken_s >= self._keep_alive_s:
                    spoken_s = time.monotonic()
                    yield _frames_of(batch)
            yield end(reason)

    def _end_of(self, caller: Caller) -> str | None:
        if self._is_closing:
            return SHUTDOWN
        return TOKEN_EXPIRED if caller.expires_at_s <= time.time() else None

    @contextlib.asynccontextmanager
    async def _following(self, after: str, user_id: str | None) -> AsyncIterator[AsyncEvents]:
        try:
            async with self._meter.events(after=after, user_id=user_id) as events:
                yield events
        except EventsLostError as error:
            raise ProblemError(410, "events_lost", str(error)) from None
        except UnavailableError as error:
            raise redis_unavailable(error) from None

    @contextlib.contextmanager
    def _joined(self) -> Iterator[None]:
        self._check_room()
        self._followers += 1
        try:
            yield
        finally:
            self._followers -= 1

    def _check_room(self) -> None:
        if self._followers >= FOLLOWERS_MAX:
            detail = f"{FOLLOWERS_MAX} readers follow all events, the limit of this gateway"
            raise ProblemError(429, "too_many_streams", detail, {"Retry-After": "5"})


def _object(event: Event) -> JsonObject:
    return {name: v for name, v in msgspec.to_builtins(event).items() if v is not None}


def _frames_of(events: list[Event]) -> bytes:
    """As server-sent events; a comment if there are none."""
    frames = [sse(event.event, pack(_object(event)), event.id) for event in events]
    return b"".join(frames) or KEEP_ALIVE
