"""What the events stream has, small enough to keep: who, in which order, and a digest of each."""

import hashlib
from array import array
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import redis

from meterd.rules.commands import entry_key, entry_ms
from meterd.rules.model import Event
from meterd.rules.redis_keys import Keys
from persistence.redis.commit import event_fields

EVENTS_MAX: Final = 1_000_000
"""Events that are looked at, the latest; each takes 24 bytes."""
PAGE: Final = 1_000
_NOTHING: Final = "0-0"


class StoredEvent(NamedTuple):
    """An event's place in the stream and what it says."""

    digest: int
    ms: int
    number: int

    @property
    def entry(self) -> str:
        """Its stream ID."""
        return f"{self.ms}-{self.number}"


class StoredEvents:
    """The events of one user in the order of the stream."""

    def __init__(self) -> None:
        """None yet."""
        self._newest_first = array("Q")

    def __len__(self) -> int:
        """How many there are."""
        return len(self._newest_first) // 3

    def __getitem__(self, place: int) -> StoredEvent:
        """The event at a place, 0 for the oldest."""
        at = 3 * (len(self) - 1 - place)
        return StoredEvent(*self._newest_first[at : at + 3])

    def add_older(self, event: StoredEvent) -> None:
        """Take in the next one; the stream is read from its end."""
        self._newest_first.extend(event)


class EventScan:
    """The events stream as it was when this was made, and what has come since."""

    def __init__(
        self, client: redis.Redis, keys: Keys, since: str = _NOTHING, user: str | None = None
    ) -> None:
        """Read the stream.

        Args:
            client: the daemon's Redis.
            keys: of the partition.
            since: entries up to this one are left out.
            user: only events of this user; None: everybody's.
        """
        self._client = client
        self._stream = keys.events
        self._user = user
        self.by_user: dict[str, StoredEvents] = {}
        self.began_ms = _time_ms(client)
        """The server's clock before anything was read."""
        self.first_ms: int | None = None
        """When the first of the entries was added; None if there are none."""
        self.last = since
        """The last entry that was read."""
        first = self._read(since)
        self.first_ms = entry_ms(first) if first else None
        self.is_holed, self.is_emptied = self._removed(first, since)

    def _read(self, since: str) -> str:
        """Read from the end, so that what is trimmed meanwhile leaves no gap; gives the first."""
        before, first, left = "+", "", EVENTS_MAX
        while left > 0:
            page = self._page(self._client.xrevrange, before, f"({since}")
            if page and not first:
                self.last = page[0][0].decode()
            for entry, fields in page:
                self._take(entry.decode(), fields)
            left -= len(page)
            first = page[-1][0].decode() if page else first
            if len(page) < PAGE:
                break
            before = f"({first}"
        return first

    def _page(self, read: Callable[..., Any], begin: str, end: str) -> Any:
        try:
            return read(self._stream, begin, end, count=PAGE)
        except redis.ResponseError:  # it is no stream, and has no entries
            return []

    def _take(self, entry: str, fields: Mapping[bytes, bytes]) -> None:
        user = fields.get(b"user_id", b"").decode(errors="replace")
        if self._user is None or user == self._user:
            stored = StoredEvent(digest_of(fields), *entry_key(entry))
            self.by_user.setdefault(user, StoredEvents()).add_older(stored)

    def _removed(self, first: str, since: str) -> tuple[bool, bool]:
        """Whether some were deleted behind the first one; whether all are gone."""
        try:
            info: Any = self._client.xinfo_stream(self._stream)
        except redis.ResponseError:  # there is no stream
            return False, False
        deleted = info["max-deleted-entry-id"].decode()
        is_emptied = not info["length"] and info["entries-added"] > 0
        is_holed = bool(first) and entry_key(deleted) > max(entry_key(first), entry_key(since))
        return is_holed, is_emptied

    def newer(self) -> Iterator[int]:
        """The digests of what has come since."""
        after = f"({self.last}"
        while True:
            page = self._page(self._client.xrange, after, "+")
            for _, fields in page:
                yield digest_of(fields)
            if len(page) < PAGE:
                return
            after = f"({page[-1][0].decode()}"

    def fields_of(self, entry: str) -> dict[str, str]:
        """An event's fields; empty if it has been trimmed meanwhile."""
        found: Any = self._client.xrange(self._stream, entry, entry)
        fields = found[0][1] if found else {}
        return {_text(name): _text(value) for name, value in fields.items()}


def fields_of_event(event: Event) -> dict[str, str]:
    """An event's fields as the stream has them."""
    flat = event_fields(event)
    return dict(zip(flat[::2], flat[1::2], strict=True))


def digest_of_event(event: Event) -> int:
    """What ``digest_of`` makes of the event in the stream."""
    return digest_of({k.encode(): v.encode() for k, v in fields_of_event(event).items()})


def digest_of(fields: Mapping[bytes, bytes]) -> int:
    """A number of 64 bits for what an event says."""
    content = repr(sorted(fields.items())).encode()
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest())


def _time_ms(client: redis.Redis) -> int:
    seconds, micros = client.time()
    return int(seconds) * 1_000 + int(micros) // 1_000


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace")
