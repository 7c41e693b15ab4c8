"""Two daemons on the same servers: one works, the other stands by and takes over."""

from collections.abc import Iterator
from typing import Any

import pytest

from meterd.rules.redis_keys import Keys
from tests.acceptance.four_partitions import user_of_each
from tests.acceptance.two_daemons import Pair, two_daemons

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.acceptance, pytest.mark.timeout(240)]

NEVER_MS = 600_000


@pytest.fixture(params=[1, 4])
def pair(url: str, request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Two daemons between which nothing moves as long as both are alive."""
    with two_daemons(url, request.param, NEVER_MS) as made:
        yield made


def _send(pair: Pair, id_: str) -> list[str]:
    """A command in each partition; where their replies will be."""
    for number, user in enumerate(user_of_each("u", pair.partitions)):
        command: Any = {"type": "top_up", "id": id_, "user_id": user, "amount": "1"}
        pair.client.xadd(Keys(number).commands, {**command, "reply_to": id_})
    return [Keys(number).reply(id_) for number in range(pair.partitions)]


def test_the_one_that_stands_by_takes_over_and_says_so(pair: Pair) -> None:
    """A command that was sent when nobody worked is answered; the first one, back, stands by.

    All partitions go over: each has a lease of its own.
    """
    first, second, client, partitions = pair
    first.begin()
    second.begin()
    assert (first.here(), second.here()) == ("ready", "standby")
    status = second.status()
    assert status["state"] == "ready", "commands are being handled, by the other one"
    assert status["here"]["state"] == "standby"
    assert "another daemon works" in second.run("status").stdout
    first.kill_all()
    replies = _send(pair, "k1")
    second.until(lambda: client.exists(*replies) == partitions)
    second.until(lambda: second.here() == "ready")
    assert int(second.status()["epoch"]) > int(status["epoch"])
    first.begin()
    assert first.here() == "standby"
    assert second.run("audit").returncode == 0
