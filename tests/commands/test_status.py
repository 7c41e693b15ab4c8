"""``meterd status`` as a person reads it."""

import re
from pathlib import Path

import pytest

from loadtests.common.live import KEYS, LiveDaemon
from meterd import Meter

pytestmark = [pytest.mark.acceptance, pytest.mark.ray, pytest.mark.timeout(180)]


def test_status_says_how_long_commands_take(live: LiveDaemon, name: str) -> None:
    """As soon as there was one; in the buckets that programs get."""
    with Meter(live.redis_url) as meter:
        meter.top_up(name, "1")
    live.until(lambda: live.published()["commands"].get("top_up", {}).get("ok", 0) > 0)
    told = live.run("status").stdout
    assert re.search(r"latency +half of all commands [≤>] \d+ ms, 99 in 100 [≤>] \d+ ms", told)


def test_status_says_since_when_and_what_is_wrong(live: LiveDaemon) -> None:
    """A person at night reads no JSON; what is there to do stands beside it."""
    with live.client() as client:
        client.xadd(KEYS.commands, {"type": "nonsense"})
        live.until(lambda: live.published()["queue"]["dead"] > 0)
    told = live.run("status").stdout
    assert re.search(r"^state +ready\b", told, re.MULTILINE)
    assert re.search(r"^since +\d{4}-\d\d-\d\dT[\d:.]+\S*, [\d a-z]+$", told, re.MULTILINE)
    assert re.search(r"^alarm +MeterdDeadLetters +entries were set aside", told, re.MULTILINE)
    assert re.search(r"^version +\d+\.\d+", told, re.MULTILINE)
    assert "to do" not in told, "nothing, while it is ready"


def test_status_says_what_to_do_where_nothing_runs(tmp_path: Path) -> None:
    told = LiveDaemon(tmp_path / "home", {}).run("status").stdout
    assert re.search(r"^to do +Start it with: meterd up", told, re.MULTILINE)
    assert re.search(r"^alarm +MeterdNotReady", told, re.MULTILINE)
