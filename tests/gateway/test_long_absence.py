"""A backend that follows all events and is away for ten minutes, while the gateway restarts."""

import time
from pathlib import Path
from typing import Any, Final

import pytest

from loadtests.common.live import LiveDaemon
from meterd import Meter
from tests.gateway.conftest import Gateway, gateway_alone
from tests.gateway.listening import listening
from tests.gateway.stored_events import count_of, received_ids, stored_after
from tests.shared_daemon import servers_of

AWAY_S: Final = 600
PAUSE_S: Final = 0.2

pytestmark = [
    pytest.mark.slow,
    pytest.mark.acceptance,
    pytest.mark.ray,
    pytest.mark.timeout(AWAY_S + 300),
]


def _pages(gateway: Gateway, after: str) -> list[Any]:
    """All events after a place, by pages of the usual size."""
    listed: list[Any] = []
    while True:
        page = gateway.read("/v1/events", "b", "backend", after=after)
        if not page["events"]:
            return listed
        listed += page["events"]
        after = page["next"]


def _happens_for(meter: Meter, name: str, seconds: float) -> None:
    """Chats start, pause, and end, and credits come, all the while."""
    until = time.monotonic() + seconds
    number = 0
    while time.monotonic() < until:
        chat = f"{name}-{number}"
        meter.top_up(name, "1")
        meter.start(chat, name, "v", rate="0.01")
        meter.pause(chat)
        meter.end(chat)
        number += 1
        time.sleep(PAUSE_S)


def test_a_follower_that_was_away_for_ten_minutes_gets_everything_once_in_order(
    live: LiveDaemon, gateway: Gateway, tmp_path: Path, name: str
) -> None:
    """By page and as a stream, from another gateway than the one that it left."""
    servers = servers_of(live)
    begin = gateway.read("/v1/events", "b", "backend")["next"]
    with Meter(live.redis_url) as meter:
        with gateway_alone(tmp_path, **servers) as first:
            token = first.token("b", "backend")
            with listening(first, "/v1/events", token, begin) as before:
                _happens_for(meter, f"{name}-before", 1)
                count = count_of(stored_after(live, begin))
                heard = [one.data for one in before.until(lambda all_: len(all_) >= count)]
        _happens_for(meter, f"{name}-away", AWAY_S)
        left = heard[-1]["id"]
        missed = stored_after(live, left)
        assert count_of(missed) > AWAY_S  # events of every second of it
        with gateway_alone(tmp_path, **servers) as again:
            assert received_ids(_pages(again, left)) == missed
            token = again.token("b", "backend")
            with listening(again, "/v1/events", token, left) as after:
                _happens_for(meter, f"{name}-after", 1)
                count = count_of(stored_after(live, left))
                heard += [one.data for one in after.until(lambda all_: len(all_) >= count)]
    assert received_ids(heard) == stored_after(live, begin)
    assert len({event["id"] for event in heard}) == len(heard)
