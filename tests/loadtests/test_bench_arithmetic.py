"""Rates, percentiles and medians of the benchmarks, as properties."""

import itertools
import statistics

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from actors.supervisor.stats import STAGES
from loadtests.bench.latency import LostRepliesError, latencies_ms
from loadtests.bench.stages import SHOWN, by_stage
from loadtests.common.statistics import (
    ProgressSample,
    crossing_s,
    median,
    parts,
    percentile,
    rate_per_s,
)

NUMBERS = st.lists(st.floats(-1e9, 1e9), min_size=1)
PERCENTS = st.floats(0, 100)


@given(NUMBERS, PERCENTS)
def test_a_percentile_is_a_value_that_so_many_do_not_exceed(
    values: list[float], percent: float
) -> None:
    """It is one of the values, enough of them are within it, and no smaller one has enough."""
    found = percentile(values, percent)
    assert found in values
    assert sum(v <= found for v in values) >= percent / 100 * len(values) - 1e-9
    smaller = [v for v in values if v < found]
    if smaller:
        assert sum(v <= max(smaller) for v in values) < percent / 100 * len(values) + 1e-9


@given(NUMBERS, PERCENTS, PERCENTS)
def test_a_higher_percentile_is_no_smaller(values: list[float], one: float, other: float) -> None:
    assert percentile(values, min(one, other)) <= percentile(values, max(one, other))


@given(NUMBERS)
def test_the_ends_and_the_middle_are_what_their_names_say(values: list[float]) -> None:
    assert percentile(values, 100) == max(values)
    assert percentile(values, 0) == min(values)
    assert median(values) == pytest.approx(statistics.median(values))


def test_no_values_have_no_percentile_and_no_median() -> None:
    """Nothing measured is an error, not a zero."""
    with pytest.raises(ValueError, match="nothing was measured"):
        percentile([], 50)
    with pytest.raises(ValueError, match="nothing was measured"):
        median([])


@given(
    st.floats(1, 1e6),
    st.integers(10, 100_000),
    st.lists(st.floats(0.001, 0.999), min_size=1, max_size=50, unique=True),
)
def test_a_steady_pace_is_found_whenever_one_looks(
    per_s: float, total: int, shares: list[float]
) -> None:
    """The moments of the samples do not matter, and neither does what the clock shows."""
    moments = [0.0, *sorted(shares), 1.0]
    samples = [ProgressSample(5_000 + share * total / per_s, share * total) for share in moments]
    assume(samples[-1].at_s - samples[0].at_s > 1e-3)
    assert rate_per_s(samples, total) == pytest.approx(per_s, rel=1e-3)


@given(st.floats(0.1, 100), st.floats(0.1, 100))
def test_neither_a_slow_start_nor_a_slow_end_counts(before_s: float, after_s: float) -> None:
    """Only what lies between a tenth and nine tenths does."""
    begin, middle = before_s, before_s + 8
    samples = [ProgressSample(0, 0), ProgressSample(begin, 10), ProgressSample(middle, 90)]
    samples.append(ProgressSample(middle + after_s, 100))
    assert rate_per_s(samples, 100) == pytest.approx(10)


def test_samples_that_are_too_few_give_no_rate() -> None:
    """Rather an error than a figure that one sample has made."""
    with pytest.raises(ValueError, match="too few"):
        rate_per_s([ProgressSample(1, 100)], 100)
    with pytest.raises(ValueError, match="never came to"):
        rate_per_s([ProgressSample(0, 0), ProgressSample(1, 80)], 100)


@given(st.lists(st.integers(0, 50), min_size=2, max_size=20), st.floats(0, 1))
def test_a_level_is_crossed_between_the_samples_around_it(steps: list[int], share: float) -> None:
    done = list(itertools.accumulate(steps))
    samples = [ProgressSample(float(i), d) for i, d in enumerate(done)]
    level = share * done[-1]
    after = next(i for i, d in enumerate(done) if d >= level)
    assert max(0, after - 1) <= crossing_s(samples, level) <= after


@given(st.lists(st.integers(), min_size=1), st.integers(1, 10))
def test_parts_are_all_of_it_in_order_and_alike(values: list[int], count: int) -> None:
    found = parts(values, count)
    assert [v for part in found for v in part] == values
    assert len(found) == min(count, len(values))
    assert max(map(len, found)) - min(map(len, found)) <= 1


@given(
    st.dictionaries(st.text(min_size=1), st.tuples(st.integers(0, 10**9), st.integers(0, 10**6)))
)
def test_a_latency_is_from_sending_to_reading(times: dict[str, tuple[int, int]]) -> None:
    """Each command's own two moments are taken, in whatever order replies were read."""
    replies = {id_: [sent + took, "ok"] for id_, (sent, took) in reversed(times.items())}
    sent_ns = [sent for sent, _ in times.values()]
    found = latencies_ms(list(times), sent_ns, replies)
    assert found == pytest.approx([took / 1e6 for _, took in times.values()])


@given(
    before=st.fixed_dictionaries(dict.fromkeys(STAGES, st.integers(0, 10**6))),
    spent=st.fixed_dictionaries(dict.fromkeys(STAGES, st.integers(0, 10**6))),
    commands=st.integers(1, 10**6),
    seen_ms=st.floats(0, 10**6),
)
def test_the_stages_make_up_what_a_sender_waits(
    before: dict[str, int], spent: dict[str, int], commands: int, seen_ms: float
) -> None:
    """What no stage of the daemon has was sending and the reply's way; no stage is negative."""
    after = {stage: before[stage] + spent[stage] for stage in STAGES}
    one, other = (
        {"latency_ms": {"count": count}, "stages_ms": stages}
        for count, stages in ((7, before), (7 + commands, after))
    )
    found = by_stage(one, other, seen_ms)
    assert list(found) == list(SHOWN)
    assert min(found.values()) >= 0
    known_ms = sum(spent[stage] for stage in STAGES if stage in SHOWN) / commands
    assert sum(found.values()) == pytest.approx(max(known_ms, seen_ms))


@pytest.mark.parametrize("replies", [{}, {"a": [1, "not_paused"]}])
def test_a_reply_that_is_missing_or_bad_spoils_the_figures(
    replies: dict[str, list[object]],
) -> None:
    """What was not answered well has no latency; the others' would look too good."""
    with pytest.raises(LostRepliesError):
        latencies_ms(["a"], [0], replies)
