"""Places among the events of all partitions: the ID of a stream entry for each. Pure."""

import re
from typing import Final, NamedTuple

import msgspec

from meterd import Event
from meterd.rules.commands import entry_key
from meterd.rules.partitions import partition_of

EntryKey = tuple[int, int]

_ID: Final = re.compile(r"[0-9]{1,20}-[0-9]{1,20}")


class EventPlace(NamedTuple):
    """Where one event stands."""

    partition: int
    entry: EntryKey


class FeedPlace(msgspec.Struct, frozen=True):
    """Up to where the events of each partition have been read. Written, it is an event's ``id``."""

    entries: tuple[EntryKey, ...]

    def __str__(self) -> str:
        """One ID for each partition, joined by commas."""
        return ",".join(f"{ms}-{number}" for ms, number in self.entries)

    def has(self, event: EventPlace) -> bool:
        """Whether the event is not after this place."""
        return event.entry <= self.entries[event.partition]

    def covers(self, other: "FeedPlace") -> bool:
        """Whether all events up to the other place are up to this one."""
        return all(mine >= theirs for mine, theirs in zip(self.entries, other.entries, strict=True))

    def moved_to(self, event: EventPlace) -> "FeedPlace":
        """The place when this event has been read, too."""
        before, after = self.entries[: event.partition], self.entries[event.partition + 1 :]
        return FeedPlace((*before, event.entry, *after))


def read_place(text: str, partitions: int) -> FeedPlace | None:
    """A place as it is written; None if it is not one among so many partitions."""
    parts = text.split(",")
    if len(parts) != partitions or not all(map(_ID.fullmatch, parts)):
        return None
    return FeedPlace(tuple(map(entry_key, parts)))


def place_after(event_id: str, partitions: int) -> FeedPlace:
    """The place that the ``id`` of an event is. Raises ValueError: it is of another layout."""
    place = read_place(event_id, partitions)
    if place is None:
        raise ValueError(f"{event_id!r} is no place among the events of {partitions} partitions")
    return place


def place_of(event: Event, partitions: int) -> EventPlace:
    """Where an event stands. Raises as ``place_after``."""
    partition = partition_of(event.user_id, partitions)
    return EventPlace(partition, place_after(event.id, partitions).entries[partition])
