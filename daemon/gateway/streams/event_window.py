"""The last events that were handed out, for whoever was away for a moment. Pure."""

from collections import deque
from collections.abc import Iterable

from daemon.gateway.streams.places import EventPlace, FeedPlace, place_after, place_of
from meterd import Event


class EventWindow:
    """All events of all partitions between two places, in the order in which they were read."""

    def __init__(self, begin: FeedPlace, events_max: int) -> None:
        """Nothing has happened yet after ``begin``; at most ``events_max`` are kept."""
        self.begin = begin
        """All that is kept has happened after this place."""
        self.end = begin
        """Up to here everything was taken in."""
        self._events: deque[tuple[EventPlace, Event]] = deque()
        self._events_max = events_max

    def add(self, events: Iterable[Event]) -> None:
        """Take in what comes next; the oldest events go where there are too many."""
        partitions = len(self.begin.entries)
        for event in events:
            self._events.append((place_of(event, partitions), event))
            self.end = place_after(event.id, partitions)
        while len(self._events) > self._events_max:
            oldest, _ = self._events.popleft()
            self.begin = self.begin.moved_to(oldest)

    def since(self, place: FeedPlace) -> list[Event] | None:
        """What has happened after a place, in order; None if that is not known here."""
        if not (self.end.covers(place) and place.covers(self.begin)):
            return None
        return [event for at, event in self._events if not place.has(at)]
