"""The events stream against the events that the fold makes, user by user.

The stream reaches back to some moment; what came before has been trimmed. Of one user the events
lie in it in the order in which the fold makes them, so behind the first one that both have, none
may be missing and none may be more.
"""

from collections.abc import Collection, Iterator
from typing import Final, NamedTuple

from daemon.audit.differences import NOTHING, Difference, cut
from meterd.rules.commands import entry_ms
from meterd.rules.model import Event
from persistence.postgres.rows import JournalRow
from persistence.redis.event_scan import (
    EventScan,
    StoredEvents,
    digest_of_event,
    fields_of_event,
)

SHOWN_MAX: Final = 100
"""Missing and extra events of one user that are named, of each kind."""
MARGIN_MS: Final = 600_000
"""An entry's ID may be ahead of the server's clock by less than this."""


class _Missing(NamedTuple):
    entry: str
    event: Event
    digest: int


class _Comparison:
    """One user's events on their way through the fold."""

    def __init__(self, user: str, stored: StoredEvents, window: "_Window") -> None:
        self.user = user
        self.missing: list[_Missing] = []
        self.extra: list[int] = []
        self._stored = stored
        self._window = window
        self._next = 0
        self._places: dict[int, list[int]] | None = None

    def feed(self, entry: str, row_ms: int, event: Event) -> None:
        """Compare the next event of the fold, made by the row ``entry``."""
        digest = digest_of_event(event)
        place = self._find(digest)
        if place is not None:
            self.extra += range(self._next, place)[:SHOWN_MAX]
            self._next = place + 1
        elif len(self.missing) < SHOWN_MAX and self._window.has(row_ms, bool(self._next)):
            self.missing.append(_Missing(entry, event, digest))

    def entry_at(self, place: int) -> str:
        """The stream ID of an event."""
        return self._stored[place].entry

    @property
    def rest(self) -> range:
        """The places of the events in the stream that the fold has not come to."""
        return range(self._next, len(self._stored))

    def _find(self, digest: int) -> int | None:
        """The place where the stream has the event, if it is there and not behind."""
        if self._next < len(self._stored) and self._stored[self._next].digest == digest:
            return self._next
        if self._places is None:
            self._places = {}
            for place in range(len(self._stored)):
                self._places.setdefault(self._stored[place].digest, []).append(place)
        later = (place for place in self._places.get(digest, ()) if place >= self._next)
        return next(later, None)


class _Window(NamedTuple):
    """Of which rows the events have to be in what was read of the stream."""

    first_ms: int | None
    is_holed: bool
    accepted_ms: int
    until_ms: int

    def has(self, row_ms: int, is_begun: bool) -> bool:
        """Whether an event of a row is to be there.

        ``is_begun``: an event of this user before it was found. If none was, it may have been
        trimmed, unless its command came when the stream had what is its first entry now.
        """
        if self.first_ms is None or row_ms > self.until_ms:
            return False
        if is_begun:
            return True
        margin_ms = 0 if self.is_holed else MARGIN_MS
        return row_ms > max(self.first_ms + margin_ms, self.accepted_ms)


class EventAudit:
    """The comparison for many users, one after the other."""

    def __init__(self, scan: EventScan, accepted_ms: int) -> None:
        """Compare with what ``scan`` has read.

        ``accepted_ms``: up to here an operator has accepted IDs that are ahead of the clock.
        """
        self._scan = scan
        self._window = _Window(scan.first_ms, scan.is_holed, accepted_ms, scan.began_ms)
        self._current: _Comparison | None = None
        self._done: list[_Comparison] = []

    def users_left(self) -> list[str]:
        """Users with events in the stream whose comparison has not come to its end."""
        return sorted(self._scan.by_user)

    def watch(self, row: JournalRow, events: list[Event]) -> None:
        """Compare what a row of the journal makes."""
        if events:
            comparison, row_ms = self._of(events[0].user_id), entry_ms(row.stream_id)
            for event in events:
                comparison.feed(row.stream_id, row_ms, event)

    def finish(self, user: str, is_whole: bool, is_last: bool) -> bool:
        """The user's journal is at its end; whether the stream is ahead of it.

        Then all of it has to be compared again once the journal has more, but for ``is_last``.
        """
        comparison, self._current = self._of(user), None
        if is_whole and comparison.rest and not is_last:
            return True
        self._scan.by_user.pop(user, None)
        if is_whole:
            self._done.append(comparison)
        return False

    def differences(self, undelivered: Collection[str] = ()) -> Iterator[Difference]:
        """What differs of the users that are finished.

        ``undelivered``: users about whom Redis knows more than the journal.
        """
        done, self._done = self._done, []
        wanted = {one.digest for comparison in done for one in comparison.missing}
        late = wanted.intersection(self._scan.newer()) if wanted else set()
        for comparison in done:
            rest = () if comparison.user in undelivered else comparison.rest
            places = [*comparison.extra, *rest][:SHOWN_MAX]
            yield from (self._extra(comparison, place) for place in places)
            yield from map(_missing, (one for one in comparison.missing if one.digest not in late))

    def emptied(self) -> Iterator[Difference]:
        """A difference if all events were taken away, which trimming never does."""
        if self._scan.is_emptied:
            yield Difference(
                "missing_event", None, None, None, "the last events", "an empty stream"
            )

    def _of(self, user: str) -> _Comparison:
        if self._current is None or self._current.user != user:
            stored = self._scan.by_user.get(user) or StoredEvents()
            self._current = _Comparison(user, stored, self._window)
        return self._current

    def _extra(self, comparison: _Comparison, place: int) -> Difference:
        entry = comparison.entry_at(place)
        fields = self._scan.fields_of(entry)
        return Difference(
            kind="extra_event",
            user=comparison.user,
            chat=fields.get("chat_id"),
            entry=entry,
            expected=NOTHING,
            found=_facts(fields),
        )


def _missing(one: _Missing) -> Difference:
    return Difference(
        kind="missing_event",
        user=one.event.user_id,
        chat=one.event.chat_id,
        entry=one.entry,
        expected=_facts(fields_of_event(one.event)),
        found=NOTHING,
    )


def _facts(fields: dict[str, str]) -> str:
    return cut(" ".join(f"{name}={value}" for name, value in fields.items()))
