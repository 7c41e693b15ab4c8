"""Percentiles, levels, paces, lateness: the arithmetic of a run."""

import math
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.common.statistics import LatencyHistogram
from loadtests.load.figures import RunFigures
from loadtests.load.load_profiles import PROFILES, SPIKE_REST, mean_level
from loadtests.load.notification_latency import EXHAUSTED, IDLE, Expectations, TimerProbes
from loadtests.load.progress import measured_line
from loadtests.load.rate_limiter import BEHIND_S_MAX, RateLimiter

values = st.lists(st.floats(0, 100_000), min_size=1, max_size=200)


@given(values, st.floats(0.1, 100))
def test_a_percentile_is_nearest_rank_within_two_percent(
    found: list[float], percent: float
) -> None:
    histogram = LatencyHistogram()
    for value in found:
        histogram.add(value)
    exact = sorted(found)[max(1, math.ceil(len(found) * percent / 100)) - 1]
    told = histogram.percentile(percent)
    assert exact - 1e-6 <= told <= exact * 1.021 + 0.01
    assert told <= max(found)
    assert histogram.max == max(found)


def test_of_nothing_every_percentile_is_zero() -> None:
    assert LatencyHistogram().percentile(99) == 0.0


@given(st.lists(st.tuples(st.booleans(), st.floats(0.1, 100), st.booleans())))
def test_all_commands_are_the_sum_of_each_and_reads_are_none(
    added: list[tuple[bool, float, bool]],
) -> None:
    figures = RunFigures()
    for is_read, latency_ms, is_failure in added:
        kind = "read" if is_read else "command"
        name = "snapshot" if is_read else f"c{latency_ms > 50}"
        figures.add(kind, name, latency_ms, is_failure=is_failure)
    told = figures.document(10.0)
    for what in ("count", "failures", "throughput_per_s"):
        assert told["overall"][what] == pytest.approx(
            sum(one[what] for one in told["commands"].values())
        )
    assert told["overall"]["count"] == sum(not is_read for is_read, _, _ in added)


def test_a_reset_forgets_everything() -> None:
    figures = RunFigures()
    figures.add("command", "start", 5.0, is_failure=True)
    figures.end_stretch(1.0, 7)
    figures.reset()
    assert figures.document(1.0)["overall"]["count"] == 0
    assert figures.series == []
    assert figures.end_stretch(1.0, 7).commands_per_s == 0.0


def test_the_series_has_the_commands_of_each_stretch() -> None:
    figures = RunFigures()
    lines = []
    for at_s in (1.0, 3.0):
        for _ in range(10):
            figures.add("command", "start", 5.0, is_failure=False)
        figures.end_stretch(at_s, 3)
        lines.append(measured_line(figures, at_s, 9.0, 3))
    assert [s.commands_per_s for s in figures.series] == [10.0, 5.0]
    assert lines == [
        "measured  1 of 9 s  3 open  10/s  p50 5.0 ms  p99 5.0 ms  0 failures",
        "measured  3 of 9 s  3 open  5/s  p50 5.0 ms  p99 5.0 ms  0 failures",
    ]


@given(st.sampled_from(list(PROFILES)), st.floats(0, 10_000), st.floats(0.1, 10_000))
def test_a_level_is_more_than_nothing_and_at_most_all(
    shape: str, at_s: float, lasts_s: float
) -> None:
    assert 0.0 < PROFILES[shape](at_s, lasts_s) <= 1.0


def test_the_shapes_ask_for_what_they_say() -> None:
    assert mean_level(PROFILES["steady"], 60) == pytest.approx(1.0)
    assert mean_level(PROFILES["ramp"], 60) == pytest.approx(0.55)
    assert mean_level(PROFILES["spike"], 60) == pytest.approx(0.8 * SPIKE_REST + 0.2)
    assert mean_level(PROFILES["soak"], 3600) == pytest.approx(0.75, abs=0.01)


@given(st.floats(0.5, 5_000), st.lists(st.floats(0, 3), min_size=2, max_size=60))
def test_a_pace_is_never_faster_than_asked_but_for_what_it_may_catch_up(
    rate: float, pauses_s: list[float]
) -> None:
    """From the beginning on never; between any two moments by ``BEHIND_S_MAX`` at most."""
    now = [0.0]
    pace = RateLimiter(lambda: rate, clock=lambda: now[0])
    moments = []
    for pause_s in pauses_s:
        moments.append(now[0] + pace.wait_s())
        now[0] += pause_s
    for j, later in enumerate(moments):
        assert later >= (j + 1) / rate - 1e-6
        for i, earlier in enumerate(moments[:j]):
            assert later - earlier >= (j - i) / rate - BEHIND_S_MAX - 1e-6


def test_no_rate_is_no_waiting() -> None:
    pace = RateLimiter(lambda: 0.0)
    assert [pace.wait_s() for _ in range(3)] == [0.0] * 3


def test_lateness_is_from_the_computed_millisecond_to_the_written_one() -> None:
    notices = Expectations()
    notices.begin(1_000, 2_000)
    for name, at_ms in (("early", 999), ("in", 1_500), ("late", 2_000)):
        notices.expect(IDLE, name, at_ms)
        notices.came(IDLE, name, at_ms, at_ms + 7)
    told = notices.document()
    assert (told["count"], told["lateness_ms_max"]) == (1, 7)
    assert notices.missing(10_000) == notices.wrong == []


def test_a_notice_that_is_read_late_is_still_that_of_its_time() -> None:
    """A heartbeat after a chat went idle wakes it again; whoever reads events may hear of both
    later than of the heartbeat. One before it went idle puts it off."""
    notices = Expectations()
    notices.expect(IDLE, "late", 100)
    notices.expect(IDLE, "late", 250, since_ms=150)
    notices.expect(IDLE, "put off", 100)
    notices.expect(IDLE, "put off", 190, since_ms=90)
    for name, at_ms in (("late", 100), ("late", 250), ("put off", 190)):
        notices.came(IDLE, name, at_ms, at_ms)
    assert (notices.wrong, notices.missing(1_000)) == ([], [])


def test_a_notice_that_is_missing_or_of_another_millisecond_is_told() -> None:
    notices = Expectations()
    notices.expect(EXHAUSTED, "a", 100)
    notices.expect(EXHAUSTED, "b", 200)
    notices.expect(EXHAUSTED, "c", 300)
    notices.came(EXHAUSTED, "b", 201, 205)
    notices.came(EXHAUSTED, "of others", 1, 2)
    assert notices.missing(250) == ["exhausted of a: expected at 100"]
    assert notices.wrong == ["exhausted of b: at 201, expected 200"]


def test_waiters_expect_what_their_commands_bring_about() -> None:
    """Credits for n milliseconds end n milliseconds after the start; idle likewise."""
    asked: list[tuple[str, dict[str, str]]] = []

    class Daemon:
        def ask(self, type_: str, fields: dict[str, str]) -> object:
            asked.append((type_, fields))
            return SimpleNamespace(outcome="ok", reply=SimpleNamespace(at=5_000))

    timer_probes = TimerProbes(Daemon(), "w", 2, seed=1)  # type: ignore[arg-type]
    for chat_id in timer_probes.openings():
        timer_probes.open(chat_id)
    idle_ms = {fields["chat_id"]: int(fields["idle_ms"]) for _, fields in asked}
    asked.clear()
    timer_probes.one_more()
    (_, top_up), (_, start) = asked
    lasts_ms = round(float(top_up["amount"]) * 1000)
    expected = {**idle_ms, start["user_id"]: lasts_ms}
    told = dict(line.split(" of ")[1].split(": expected at ")
                for line in timer_probes.expectations.missing(math.inf))  # fmt: skip
    assert {name: int(at) - 5_000 for name, at in told.items()} == expected
