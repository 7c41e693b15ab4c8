"""Steps of the queue's clock: told from delays, which may be long, and from drift."""

from hypothesis import given
from hypothesis import strategies as st

from meterd.rules.clock_step import STALE_MS, ClockSample, better, queue_ms_at, step_ms

MS = st.integers(0, 10**9)


@given(queue_ms=MS, start_ms=MS, passed=MS, trips=st.tuples(MS, MS, MS, MS))
def test_no_delay_looks_like_a_step(
    queue_ms: int, start_ms: int, passed: int, trips: tuple[int, int, int, int]
) -> None:
    """However long questions and answers were on their way, if the clock goes at its pace."""
    there, back, there_again, back_again = trips
    earlier = ClockSample(queue_ms, start_ms - there, start_ms + back)
    at = start_ms + back + there_again + passed
    later = ClockSample(queue_ms + at - start_ms, at - there_again, at + back_again)
    assert step_ms(earlier, later) == 0


@given(queue_ms=MS, passed=MS, trip=st.integers(0, 500), step=st.integers(-(10**9), 10**9))
def test_a_step_is_seen_to_within_the_round_trips(
    queue_ms: int, passed: int, trip: int, step: int
) -> None:
    """Its sign is right, and it is never made larger than it is."""
    earlier = ClockSample(queue_ms, 0, trip)
    later = ClockSample(queue_ms + trip + passed + step, trip + passed, 2 * trip + passed)
    found = step_ms(earlier, later)
    assert abs(found) <= abs(step) + trip
    assert abs(found - step) <= 2 * trip
    if abs(step) > 2 * trip:
        assert (found > 0) == (step > 0)


TRIP = st.integers(0, 5_000)


@given(offset_ms=MS, asked_ms=MS, there=TRIP, back=TRIP, later=MS)
def test_the_clock_is_known_to_half_of_what_the_answer_took(
    offset_ms: int, asked_ms: int, there: int, back: int, later: int
) -> None:
    """However it was divided between the way there and the way back."""
    sample = ClockSample(asked_ms + there + offset_ms, asked_ms, asked_ms + there + back)
    at_ms = sample.after_ms + later
    assert 2 * abs(queue_ms_at(sample, at_ms) - (at_ms + offset_ms)) <= there + back + 1


@given(first=TRIP, second=TRIP, pause=st.integers(0, 2 * STALE_MS), step=st.integers(-9, 9))
def test_a_quick_answer_counts_until_it_is_old_or_proved_wrong(
    first: int, second: int, pause: int, step: int
) -> None:
    """A slow one, while everybody is busy, does not spoil what is known."""
    known = ClockSample(0, 0, first)
    found = ClockSample(first + pause + step, first + pause, first + pause + second)
    is_over = found.after_ms - known.after_ms > STALE_MS or step_ms(known, found) != 0
    assert better(None, found) == found
    assert better(known, found) == (found if second <= first or is_over else known)
