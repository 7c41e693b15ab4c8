"""The last events: exactly what has happened after a place, or that it is not known."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from daemon.gateway.streams.event_window import EventWindow
from daemon.gateway.streams.places import FeedPlace, place_of
from meterd import Event
from meterd.rules.partitions import partition_of

USERS = [f"u{number}" for number in range(8)]


def _happened(partitions: int, steps: list[tuple[str, int]]) -> list[Event]:
    """Events as a reader of all partitions has them: each ``id`` is the place behind it."""
    at, events = [0] * partitions, []
    for user, later in steps:
        at[partition_of(user, partitions)] += later
        id_ = ",".join(f"{ms}-0" for ms in at)
        events.append(Event(id=id_, event="chat.started", at=1, user_id=user, seq=1))
    return events


@given(
    partitions=st.sampled_from([1, 2, 4]),
    steps=st.lists(st.tuples(st.sampled_from(USERS), st.integers(1, 3)), max_size=30),
    events_max=st.integers(1, 12),
    data=st.data(),
)
def test_it_has_all_events_after_a_place_or_says_that_it_does_not_know(
    partitions: int, steps: list[tuple[str, int]], events_max: int, data: st.DataObject
) -> None:
    """Any place: also one of another reader, who has met the partitions in another order."""
    events = _happened(partitions, steps)
    window = EventWindow(FeedPlace(((0, 0),) * partitions), events_max)
    cuts = sorted({0, len(events), *data.draw(st.lists(st.integers(0, len(events)), max_size=5))})
    for begin, end in pairwise(cuts):
        window.add(events[begin:end])
    place = FeedPlace(tuple((data.draw(st.integers(0, 40)), 0) for _ in range(partitions)))
    after = [event for event in events if not place.has(place_of(event, partitions))]
    forgotten = events[: max(0, len(events) - events_max)]
    is_known = window.end.covers(place) and not any(event in after for event in forgotten)
    assert window.since(place) == (after if is_known else None)


@given(
    partitions=st.sampled_from([1, 2, 4]),
    steps=st.lists(st.tuples(st.sampled_from(USERS), st.integers(1, 3)), min_size=1, max_size=30),
    events_max=st.integers(1, 12),
)
def test_whoever_was_told_one_of_the_kept_events_gets_the_rest(
    partitions: int, steps: list[tuple[str, int]], events_max: int
) -> None:
    events = _happened(partitions, steps)
    window = EventWindow(FeedPlace(((0, 0),) * partitions), events_max)
    window.add(events)
    kept = events[-events_max:]
    for number, event in enumerate(kept, 1):
        place = FeedPlace(tuple((int(part.split("-")[0]), 0) for part in event.id.split(",")))
        assert window.since(place) == kept[number:]
