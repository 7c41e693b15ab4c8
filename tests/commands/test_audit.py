"""``meterd audit`` beside a real daemon at work."""

import json

import pytest

from loadtests.common.live import KEYS, LiveDaemon
from meterd import Meter, NotRunningError

pytestmark = [pytest.mark.acceptance, pytest.mark.ray, pytest.mark.timeout(180)]


def test_what_the_daemon_did_is_in_order_and_what_it_did_not_is_not(
    live: LiveDaemon, name: str
) -> None:
    """All that this daemon has done so far, without waiting for it; then a wallet of our own."""
    with Meter(live.redis_url) as meter:
        meter.top_up(name, "5")
        meter.start(name, name, "a", rate=60)
        meter.pause(name)
        with pytest.raises(NotRunningError):
            meter.pause(name)
    asked = live.run("audit")
    assert asked.returncode == 0, asked.stdout + asked.stderr
    assert asked.stdout.endswith(" 0 differences\n")
    with live.client() as client:
        wallet = client.get(KEYS.wallet(name))
        client.delete(KEYS.wallet(name))
        broken = live.run("audit", "--user", name, "--json")
        client.set(KEYS.wallet(name), wallet)
        end = live.run("send", "end", f"chat_id={name}")
    assert (broken.returncode, end.returncode) == (1, 0)
    told = [(d["kind"], d["user"]) for d in json.loads(broken.stdout)["differences"]]
    assert told == [("wallet", name)]
