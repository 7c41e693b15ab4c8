"""How often a caller may ask: never more than the burst and what has come since."""

import sys
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.gateway import rate_limit
from daemon.gateway.rate_limit import Buckets

RATES = st.integers(1, 500)
WAITS_MS = st.lists(st.integers(0, 3_000) | st.just(0), min_size=1, max_size=200)


@given(per_s=RATES, burst=RATES, waits_ms=WAITS_MS)
def test_in_any_window_at_most_the_burst_and_the_rate_times_its_length(
    per_s: int, burst: int, waits_ms: list[int]
) -> None:
    buckets, now_ms, taken_ms = Buckets(per_s, burst), 0, []
    for wait_ms in waits_ms:
        now_ms += wait_ms
        if not buckets.take("ann", now_ms / 1000).wait_s:
            taken_ms.append(now_ms)
    for begin, first_ms in enumerate(taken_ms):
        for number, last_ms in enumerate(taken_ms[begin:], 1):
            # What is taken is whole; a rounding error of the clock gives no token more.
            assert number <= burst + (last_ms - first_ms) * per_s / 1000 + 1e-6


@given(per_s=RATES, burst=RATES, waits_ms=WAITS_MS)
def test_whoever_waits_as_told_is_let_in(per_s: int, burst: int, waits_ms: list[int]) -> None:
    buckets, now_s = Buckets(per_s, burst), 0.0
    for wait_ms in waits_ms:
        now_s += wait_ms / 1000
        wait_s = buckets.take("ann", now_s).wait_s
        assert wait_s <= 1 / per_s + 1e-9
        if wait_s:
            now_s += wait_s + 1e-9
            assert not buckets.take("ann", now_s).wait_s


@given(burst=st.integers(1, 50))
def test_a_bucket_is_the_callers_own_and_begins_full(burst: int) -> None:
    buckets = Buckets(1, burst)
    for caller in ("ann", "bob"):
        assert [buckets.take(caller, 5.0).wait_s for _ in range(burst)] == [0.0] * burst
        assert buckets.take(caller, 5.0).wait_s > 0


def test_the_callers_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are; whoever was heard last is not forgotten."""
    monkeypatch.setattr(rate_limit, "CALLERS_MAX", 100)
    buckets = Buckets(1, 1)
    sizes = []
    assert not buckets.take("regular", 0.0).wait_s
    for number in range(1_000):
        buckets.take(f"stranger-{number}", 0.0)
        assert buckets.take("regular", 0.0).wait_s > 0
        sizes.append(sys.getsizeof(buckets._buckets))
    assert len(buckets._buckets) == 100
    assert all(later <= sizes[200] for _, later in pairwise(sizes[200:]))
