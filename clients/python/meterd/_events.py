"""Reading events: in order, each once, and an error rather than a gap."""

import re
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final, TypeVar

import msgspec
import redis

from meterd._core import TIMEOUT_S, Core
from meterd._errors import EventsLostError, UnavailableError
from meterd._io import BLOCK_MS, Running
from meterd._results import Event, read_event
from meterd.rules.commands import entry_key
from meterd.rules.redis_keys import Keys

EVENTS_READ_MAX: Final = 500
AWAY_S: Final = 1.0
"""For so long nobody asks a server again that did not answer, if others do."""

T = TypeVar("T")

_PLACE = re.compile(r"\$|[0-9]{1,20}(-[0-9]{1,20})?")
_Entries = list[tuple[bytes, dict[bytes, bytes]]]


class EventReader:
    """A place in the events streams of all partitions; each event comes once, in order by user."""

    def __init__(self, core: Core, after: str, user_id: str | None) -> None:
        """Begin after what ``after`` of another reader names; ``$``: now; ``0``: with all there is.

        A place is an event's ``id``: with one partition the ID of its stream entry, with several
        one ID for each partition, joined by commas.
        """
        self._places = after.split(",")
        if not all(map(_PLACE.fullmatch, self._places)):
            raise ValueError(f"after: {after!r} is neither a place among events nor '$' nor '0'")
        self.is_closed = False
        self._read_up_to = self._places
        self._core = core
        self._user_id = user_id
        self._ready: deque[tuple[int, Event]] = deque()
        self._streams: list[str] = []
        self._away_until_s: dict[int, float] = {}
        self._waiting: Running = {}

    @property
    def after(self) -> str:
        """The place up to which everything was given out."""
        return ",".join(self._places)

    async def begin(self) -> None:
        """Fix what ``$`` means, once: asked again with every read it would leave gaps."""
        if self._streams:
            return
        routing, io = self._core.routing, self._core.io
        keys = await self._persisted(lambda: routing.all_keys(io.block))
        if len(self._places) not in (1, len(keys)):
            raise ValueError(
                f"after: {self.after!r} names {len(self._places)} places; there are "
                f"{len(keys)} partitions"
            )
        places = self._places if len(self._places) == len(keys) else self._places * len(keys)
        streams = [one.events for one in keys]
        self._places = [
            await self._end_of(one) if place == "$" else place
            for one, place in zip(keys, places, strict=True)
        ]
        self._read_up_to, self._streams = list(self._places), streams

    async def next(self) -> Event | None:
        """The next event, as soon as there is one; None once closed."""
        if not await self._filled():
            return None
        return self._given(*self._ready.popleft())

    async def batch(self, timeout_s: float | None = None) -> list[Event]:
        """As many events as are there, at least one; none once closed, or after ``timeout_s``."""
        if not await self._filled(timeout_s):
            return []
        events = [self._given(number, event) for number, event in self._ready]
        self._ready.clear()
        return events

    def _given(self, number: int, event: Event) -> Event:
        self._places[number] = event.id
        return event if len(self._places) == 1 else msgspec.structs.replace(event, id=self.after)

    async def _filled(self, timeout_s: float | None = None) -> bool:
        """Whether something is ready: waits for it, until closed or for so long."""
        until = None if timeout_s is None else time.monotonic() + timeout_s
        try:
            await self._fill(until)
        except Exception:
            if self._is_over():
                return False  # closing cut the connection
            raise
        return bool(self._ready) and not self._is_over()

    async def _fill(self, until: float | None) -> None:
        await self.begin()
        while not self._ready and not self._is_over():
            self._places = list(self._read_up_to)
            if await self._fetch():
                continue
            left_ms = BLOCK_MS if until is None else int((until - time.monotonic()) * 1000)
            if left_ms <= 0:
                return
            await self._wait(min(left_ms, BLOCK_MS))
            await self._widen()

    async def _widen(self) -> None:
        """Read all partitions if the first daemon has made them since: all in them is new."""
        routing, io = self._core.routing, self._core.io
        keys = await self._persisted(lambda: routing.all_keys(io.block))
        for one in keys[len(self._streams) :]:
            self._streams.append(one.events)
            self._read_up_to.append("0-0")

    def _is_over(self) -> bool:
        return self.is_closed or self._core.is_closed

    async def _end_of(self, keys: Keys) -> str:
        command = ("XREVRANGE", keys.events, "+", "-", "COUNT", "1")
        last = await self._persisted(lambda: self._core.io.block(keys.partition, *command))
        return last[0][0].decode() if last else "0-0"

    async def _fetch(self) -> bool:
        """Take what is there; False if there is nothing."""
        found = await self._persisted(self._look)
        for number, (info, entries) in found.items():
            if isinstance(entries, Exception):
                raise UnavailableError(f"the events can't be read: {entries}") from entries
            if _may_have_lost(self._read_up_to[number], info):
                raise EventsLostError(",".join(self._read_up_to))
        taken = [
            (number, read_event(entry, fields))
            for number, (_, entries) in found.items()
            for entry, fields in entries
        ]
        # What several partitions have together comes about as it happened.
        for number, event in sorted(taken, key=lambda one: entry_key(one[1].id)):
            if self._user_id in (None, event.user_id):
                self._ready.append((number, event))
            self._read_up_to[number] = event.id
        return bool(taken)

    async def _look(self) -> dict[int, tuple[Any, Any]]:
        """The state of each stream and what comes next in it, both of the same moment.

        Streams on a server that is away are left out, unless all are: their events come later.
        """
        servers = self._servers_here()
        answers = await self._core.io.each([partial(self._look_at, one) for one in servers])
        found: dict[int, tuple[Any, Any]] = {}
        failures: list[Exception] = []
        for numbers, answer in zip(servers, answers, strict=True):
            if isinstance(answer, Exception):
                failures.append(answer)
                self._away_until_s[numbers[0]] = time.monotonic() + AWAY_S
            else:
                pairs = zip(answer[::2], answer[1::2], strict=True)
                found |= dict(zip(numbers, pairs, strict=True))
        for error in failures:
            if not found or not isinstance(error, redis.RedisError):
                raise error
        return found

    async def _look_at(self, numbers: Sequence[int]) -> list[Any]:
        commands = [
            command
            for number in numbers
            for command in (
                ("XINFO STREAM", self._streams[number]),
                (
                    *("XRANGE", self._streams[number], f"({self._read_up_to[number]}", "+"),
                    *("COUNT", EVENTS_READ_MAX),
                ),
            )
        ]
        return await self._core.io.atomic(numbers[0], *commands)

    def _servers_here(self) -> list[list[int]]:
        """The partitions of each server; without servers that were just away, unless all were."""
        groups = list(self._core.routing.servers.groups(len(self._streams)).values())
        now_s = time.monotonic()
        here = [each for each in groups if self._away_until_s.get(each[0], 0.0) <= now_s]
        return here or groups

    async def _wait(self, block_ms: int) -> None:
        """Until there is more, or for a moment; only wakes, ``_fetch`` reads."""
        servers = self._servers_here()
        if len(self._core.routing.servers.groups(len(self._streams))) == 1:
            await self._persisted(lambda: self._wait_at(servers[0], block_ms))
            return
        steps = {str(each[0]): partial(self._wait_at, each, BLOCK_MS) for each in servers}
        await self._core.io.first(steps, self._waiting, block_ms / 1_000)

    async def _wait_at(self, numbers: Sequence[int], block_ms: int) -> None:
        await self._core.io.block(
            numbers[0],
            *("XREAD", "COUNT", "1", "BLOCK", block_ms, "STREAMS"),
            *(self._streams[number] for number in numbers),
            *(self._read_up_to[number] for number in numbers),
        )

    async def _persisted(self, attempt: Callable[[], Awaitable[T]]) -> T:
        deadline = time.monotonic() + TIMEOUT_S
        try:
            return await self._core.persist(deadline, attempt)
        except redis.RedisError as error:
            raise UnavailableError(f"Redis does not answer: {error}") from error


def _may_have_lost(after: str, info: Any) -> bool:
    """Whether entries later than ``after`` may have been trimmed away. Cautious, never careless."""
    place = entry_key(after)
    if place == (0, 0) or not isinstance(info, dict):
        return False  # whoever asks for all that is there gets that; no stream, nothing trimmed
    if int(info["entries-added"]) == int(info["length"]):
        return False
    first = info["first-entry"]
    oldest = first[0] if first else info["last-generated-id"]
    return place < entry_key(oldest.decode())
