"""Commands that wait for their replies, however many at once over one reply stream.

A reply belongs to a command if both the id and the entry are the same: the id alone is not
enough, since a late reply to an earlier attempt of the same id may still come. As the reply
can overtake the answer to XADD, replies of an id whose entry is not known yet are kept.
"""

import threading
from typing import Final, Protocol, TypeAlias

from meterd._errors import ClosedError
from meterd._results import Reply, Snapshot

AnyReply: TypeAlias = Reply[Snapshot]

EARLY_MAX: Final = 16
"""Replies kept for a command before its entry is known; one for each of its attempts."""


class Future(Protocol):
    """What ``concurrent.futures.Future`` and ``asyncio.Future`` have in common."""

    def done(self) -> bool:
        """Whether there is a result."""

    def set_result(self, result: AnyReply, /) -> None:
        """Wake whoever waits."""

    def set_exception(self, exception: BaseException, /) -> None:
        """Wake whoever waits, in vain."""


class Flag(Protocol):
    """What ``threading.Event`` and ``asyncio.Event`` have in common."""

    def set(self) -> None:
        """Raise it."""

    def clear(self) -> None:
        """Lower it."""


class Waiting:
    """One command that waits."""

    __slots__ = ("early", "entry", "future", "id")

    def __init__(self, id: str, future: Future) -> None:  # noqa: A002 - the contract's name
        self.id = id
        self.future = future
        self.entry = ""
        self.early: dict[str, AnyReply] = {}

    def offer(self, reply: AnyReply) -> bool:
        """Take the reply if it is the one; keep it if that can't be told yet."""
        if self.entry == reply.entry and not self.future.done():
            self.future.set_result(reply)
            return True
        if not self.entry and len(self.early) < EARLY_MAX:
            self.early[reply.entry] = reply
        return False


class Pending:
    """The commands that wait, by id. ``wanted`` is raised while there are any."""

    def __init__(self, wanted: Flag) -> None:
        """Nobody waits yet."""
        self.wanted = wanted
        self._is_closed = False
        self._lock = threading.Lock()
        self._by_id: dict[str, list[Waiting]] = {}

    def __len__(self) -> int:
        """How many wait."""
        with self._lock:
            return sum(map(len, self._by_id.values()))

    def add(self, id: str, future: Future) -> Waiting:  # noqa: A002 - the contract's name
        """Begin to wait; before sending, since the reply may be faster than XADD's answer."""
        waiting = Waiting(id, future)
        with self._lock:
            if self._is_closed:
                raise ClosedError("this client was closed; nothing was sent")
            self._by_id.setdefault(id, []).append(waiting)
            self.wanted.set()
        return waiting

    def expect(self, waiting: Waiting, entry: str) -> None:
        """The command is in the queue as ``entry``: its reply may already be here."""
        with self._lock:
            waiting.entry = entry
            reply = waiting.early.get(entry)
            waiting.early.clear()
            if reply is not None and waiting.offer(reply):
                self._drop(waiting)

    def deliver(self, id: str, reply: AnyReply) -> None:  # noqa: A002 - as above
        """A reply has come for those who wait under ``id``; without any, it is dropped."""
        with self._lock:
            for waiting in list(self._by_id.get(id, ())):
                if waiting.offer(reply):
                    self._drop(waiting)

    def remove(self, waiting: Waiting) -> None:
        """Wait no longer."""
        with self._lock:
            self._drop(waiting)

    def close(self) -> None:
        """Wake everybody in vain, and the reader for good: no more replies will be read."""
        with self._lock:
            self._is_closed = True
            self.wanted.set()
            for waiting in [each for group in self._by_id.values() for each in group]:
                if not waiting.future.done():
                    waiting.future.set_exception(TimeoutError("the client was closed"))
                self._drop(waiting)

    def _drop(self, waiting: Waiting) -> None:
        group = self._by_id.get(waiting.id, [])
        if waiting in group:
            group.remove(waiting)
        if not group:
            self._by_id.pop(waiting.id, None)
        if not self._by_id and not self._is_closed:
            self.wanted.clear()
