"""Reading events: in order, each once, and an error rather than a gap."""

import re
import time
from collections import deque
from typing import Any, Final

import redis

from meterd._core import TIMEOUT_S, Core
from meterd._errors import EventsLostError, UnavailableError
from meterd._io import BLOCK_MS
from meterd._results import Event, read_event
from meterd.rules.commands import entry_key

EVENTS_READ_MAX: Final = 500

_PLACE = re.compile(r"\$|[0-9]{1,20}(-[0-9]{1,20})?")
_Entries = list[tuple[bytes, dict[bytes, bytes]]]


class EventReader:
    """A place in the events stream."""

    def __init__(self, core: Core, after: str, user_id: str | None) -> None:
        """Begin after an event's id; ``$``: with what happens from now on; ``0``: with all."""
        if _PLACE.fullmatch(after) is None:
            raise ValueError(f"after: {after!r} is neither an event's id nor '$' nor '0'")
        self.after = after
        self.is_closed = False
        self._read_up_to = after
        self._core = core
        self._user_id = user_id
        self._ready: deque[Event] = deque()

    async def begin(self) -> None:
        """Fix what ``$`` means, once: asked again with every read it would leave gaps."""
        if self.after == "$":
            last = await self._persist("XREVRANGE", self._stream, "+", "-", "COUNT", "1")
            self.after = self._read_up_to = last[0][0].decode() if last else "0-0"

    async def next(self) -> Event | None:
        """The next event, as soon as there is one; None once closed."""
        if not await self._filled():
            return None
        event = self._ready.popleft()
        self.after = event.id
        return event

    async def batch(self, timeout_s: float | None = None) -> list[Event]:
        """As many events as are there, at least one; none once closed, or after ``timeout_s``."""
        if not await self._filled(timeout_s):
            return []
        events = list(self._ready)
        self._ready.clear()
        self.after = events[-1].id
        return events

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
            self.after = self._read_up_to
            if await self._fetch():
                continue
            left_ms = BLOCK_MS if until is None else int((until - time.monotonic()) * 1000)
            if left_ms <= 0:
                return
            await self._wait(min(left_ms, BLOCK_MS))

    def _is_over(self) -> bool:
        return self.is_closed or self._core.is_closed

    @property
    def _stream(self) -> str:
        return self._core.keys.events

    async def _fetch(self) -> bool:
        """Take what is there; False if there is nothing."""
        info, entries = await self._look()
        if _may_have_lost(self._read_up_to, info):
            raise EventsLostError(self._read_up_to)
        for entry, fields in entries:
            self._take(entry, fields)
        return bool(entries)

    def _take(self, entry: bytes, fields: dict[bytes, bytes]) -> None:
        event = read_event(entry, fields)
        if self._user_id in (None, event.user_id):
            self._ready.append(event)
        self._read_up_to = event.id

    async def _look(self) -> tuple[Any, _Entries]:
        """The stream's state and what comes next in it, both of the same moment."""
        commands = (
            ("XINFO STREAM", self._stream),
            ("XRANGE", self._stream, f"({self._read_up_to}", "+", "COUNT", EVENTS_READ_MAX),
        )
        deadline = time.monotonic() + TIMEOUT_S
        try:
            info, entries = await self._core.persist(
                deadline, lambda: self._core.io.atomic(*commands)
            )
        except redis.RedisError as error:
            raise UnavailableError(f"Redis does not answer: {error}") from error
        if isinstance(entries, Exception):
            raise UnavailableError(f"the events can't be read: {entries}") from entries
        return info, entries

    async def _wait(self, block_ms: int) -> None:
        """Until there is more, or for a moment; only wakes, ``_fetch`` reads."""
        await self._persist(
            *("XREAD", "COUNT", "1", "BLOCK", block_ms, "STREAMS", self._stream, self._read_up_to)
        )

    async def _persist(self, *command: str | int) -> Any:
        deadline = time.monotonic() + TIMEOUT_S
        try:
            return await self._core.persist(deadline, lambda: self._core.io.block(*command))
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
