"""Places among the events of several partitions: what one has, and which comes later."""

from hypothesis import given
from hypothesis import strategies as st

from daemon.gateway.streams.places import EventPlace, FeedPlace, place_of, read_place
from meterd import Event
from meterd.rules.partitions import partition_of

_NUMBER = st.integers(0, 2**64 - 1)
_ENTRY = st.tuples(_NUMBER, _NUMBER)
_PARTITIONS = st.sampled_from([1, 2, 4, 8])


@st.composite
def _places(draw: st.DrawFn, number: int) -> list[FeedPlace]:
    """Places of one layout."""
    size = draw(_PARTITIONS)
    entries = st.tuples(*[_ENTRY] * size)
    return [FeedPlace(draw(entries)) for _ in range(number)]


@given(_places(1))
def test_a_place_is_read_as_it_is_written_and_in_its_own_layout_only(
    places: list[FeedPlace],
) -> None:
    (place,) = places
    size = len(place.entries)
    assert read_place(str(place), size) == place
    assert read_place(str(place), 2 * size) is None
    assert read_place(f"{place},", size) is None


@given(st.text("0123456789-,$ \n+", max_size=40))
def test_only_ids_of_entries_make_a_place(text: str) -> None:
    place = read_place(text, 2)
    parts = [tuple(map(int, part.split("-"))) for part in text.split(",")] if place else []
    assert place is None or list(place.entries) == parts


@given(_places(3))
def test_covering_is_an_order(places: list[FeedPlace]) -> None:
    """Each covers itself; what covers another covers what that covers; two that do both are one."""
    one, two, three = places
    assert one.covers(one)
    assert not (one.covers(two) and two.covers(three)) or one.covers(three)
    assert not (one.covers(two) and two.covers(one)) or one == two


@given(_places(2), st.data())
def test_a_place_covers_another_if_it_has_all_events_of_it(
    places: list[FeedPlace], data: st.DataObject
) -> None:
    one, two = places
    last = [EventPlace(number, entry) for number, entry in enumerate(two.entries)]
    assert one.covers(two) == all(map(one.has, last))
    event = data.draw(st.sampled_from(last))
    moved = one.moved_to(event)
    assert moved.has(event)
    others = [n for n in range(len(one.entries)) if n != event.partition]
    assert [moved.entries[n] for n in others] == [one.entries[n] for n in others]


@given(_places(1), st.text(min_size=1, max_size=8))
def test_an_event_stands_in_the_partition_of_its_user(
    places: list[FeedPlace], user_id: str
) -> None:
    (place,) = places
    event = Event(id=str(place), event="chat.started", at=1, user_id=user_id, seq=1)
    size = len(place.entries)
    partition = partition_of(user_id, size)
    assert place_of(event, size) == EventPlace(partition, place.entries[partition])
