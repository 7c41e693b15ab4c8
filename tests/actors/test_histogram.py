"""A histogram loses which value came when, and nothing else but what lies within a bucket."""

from hypothesis import given
from hypothesis import strategies as st

from actors.supervisor.histogram import BUCKETS_MS, Histogram, percentile, quantile_ms

VALUES = st.lists(st.integers(0, 20_000) | st.sampled_from(BUCKETS_MS))


def _of(values: list[int]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    return histogram


@given(VALUES)
def test_up_to_each_bucket_are_as_many_as_are_not_larger(values: list[int]) -> None:
    """As Prometheus wants it: the bucket's own value belongs to it."""
    told = _of(values).as_dict()
    for number, bucket_ms in enumerate(BUCKETS_MS):
        assert sum(told["counts"][: number + 1]) == sum(value <= bucket_ms for value in values)
    assert sum(told["counts"]) == told["count"] == len(values)
    assert told["sum_ms"] == sum(values)
    assert told["buckets_ms"] == list(BUCKETS_MS)


@given(st.integers(0, 20_000), st.integers(1, 1_000))
def test_a_value_may_count_several_times(value: int, times: int) -> None:
    once = Histogram()
    once.add(value, times)
    assert once.as_dict() == _of([value] * times).as_dict()


@given(VALUES.filter(bool), st.integers(1, 100))
def test_a_percentile_is_the_least_bucket_that_has_so_many(values: list[int], share: int) -> None:
    """So many of a hundred are in it; in the bucket before, there are not."""
    said = percentile(_of(values).as_dict(), share)
    enough = [b for b in BUCKETS_MS if 100 * sum(v <= b for v in values) >= share * len(values)]
    assert said == (f"≤ {enough[0]} ms" if enough else f"> {BUCKETS_MS[-1]} ms")


def test_of_nothing_there_is_no_percentile() -> None:
    assert percentile(Histogram().as_dict(), 50) == ""


def test_what_was_told_does_not_change_later() -> None:
    """A status that is being sent is of one moment."""
    histogram = _of([1])
    told = histogram.as_dict()
    histogram.add(1)
    assert told["count"] == sum(told["counts"]) == 1


@given(VALUES.filter(bool), st.integers(1, 100))
def test_a_quantile_lies_in_the_bucket_of_the_percentile(values: list[int], share: int) -> None:
    """Above the bucket before; what no bucket holds counts as the largest."""
    histogram = _of(values)
    found = quantile_ms(histogram.counts, share)
    said = percentile(histogram.as_dict(), share)
    if said.startswith(">"):
        assert found == BUCKETS_MS[-1]
        return
    assert found is not None
    bucket_ms = int(said.removeprefix("≤ ").removesuffix(" ms"))
    before_ms = max((ms for ms in BUCKETS_MS if ms < bucket_ms), default=0)
    assert before_ms < found <= bucket_ms


def test_of_nothing_there_is_no_quantile_and_values_lie_evenly_in_their_bucket() -> None:
    assert quantile_ms(Histogram().counts, 99) is None
    hundred = _of([30] * 100)
    assert [quantile_ms(hundred.counts, share) for share in (1, 50, 100)] == [21, 35, 50]
