"""``meterd status`` as a person reads it."""

import re

import pytest

from loadtests.common.live import LiveDaemon
from meterd import Meter

pytestmark = [pytest.mark.acceptance, pytest.mark.ray, pytest.mark.timeout(180)]


def test_status_says_how_long_commands_take(live: LiveDaemon, name: str) -> None:
    """As soon as there was one; in the buckets that programs get."""
    with Meter(live.redis_url) as meter:
        meter.top_up(name, "1")
    live.until(lambda: live.published()["commands"].get("top_up", {}).get("ok", 0) > 0)
    told = live.run("status").stdout
    assert re.search(r"latency +half of all commands [≤>] \d+ ms, 99 in 100 [≤>] \d+ ms", told)
