"""The benchmark's maximum is made of what the daemon's own function library takes."""

import pytest

from loadtests.bench.max_throughput import measure_max_throughput

pytestmark = pytest.mark.redis


def test_one_client_can_push_what_was_decided_before() -> None:
    """Reading, deciding and committing speak to the library as the daemon does now."""
    assert measure_max_throughput(10, 2_000) > 0
