"""The clock monitor: only what no delay can explain is a step."""

from typing import cast

import pytest
import redis.asyncio

from actors.supervisor import clock_monitor
from actors.supervisor.clock_monitor import ClockMonitor
from meterd.rules.redis_keys import Keys

STEP_MS_MAX = 100


class Steady:
    """The steady clock of a test."""

    def __init__(self) -> None:
        self.ms = 10_000

    def now_ms(self) -> int:
        return self.ms


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> Steady:
    clock = Steady()
    monkeypatch.setattr(clock_monitor, "steady_ms", clock.now_ms)
    return clock


def _watch() -> ClockMonitor:
    # Nothing is asked of Redis here: readings are handed in.
    return ClockMonitor(cast("redis.asyncio.Redis", None), Keys(), STEP_MS_MAX)


def test_an_answer_that_was_overtaken_is_no_reading(steady: Steady) -> None:
    """Two readings under way at once: the later one's answer came first. The earlier one's, which
    is older than it, is no clock that went back; and it is not what the next is compared with."""
    watch = _watch()
    asked_first_ms = steady.ms
    steady.ms += 1_000
    asked_second_ms = steady.ms
    steady.ms += 10
    watch.observe(501_005, asked_second_ms)
    steady.ms += 500
    watch.observe(500_002, asked_first_ms)
    assert watch.why == ""
    assert watch.now_ms() == 501_510, "the better reading stays"
    asked_ms = steady.ms
    steady.ms += 10
    watch.observe(501_005 + 510, asked_ms)
    assert watch.why == ""
    assert watch.steps == 0


@pytest.mark.parametrize(
    ("overtaken_ms", "step_ms"), [(501_500, 700), (500_002, -700)], ids=["forward", "back"]
)
def test_a_step_after_an_overtaken_answer_is_seen(
    steady: Steady, overtaken_ms: int, step_ms: int
) -> None:
    """Taken as a reading, an answer that took 1.5 s would hide any step up to that: wherever in
    that time the clock was read."""
    watch = _watch()
    asked_first_ms = steady.ms
    steady.ms += 1_000
    asked_second_ms = steady.ms
    steady.ms += 10
    watch.observe(501_005, asked_second_ms)
    steady.ms += 500
    watch.observe(overtaken_ms, asked_first_ms)
    assert watch.why == ""
    watch.observe(501_510 + step_ms, steady.ms)
    assert "stepped by" in watch.why
    assert watch.steps == 1
