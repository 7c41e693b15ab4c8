"""Two daemons share the partitions of one queue, and lose nothing while they do."""

from collections.abc import Iterator
from typing import Any, Final

import pytest
import redis

from loadtests.common.timeouts import scaled
from meterd.rules.redis_keys import Keys
from tests.acceptance.partition_traffic import PartitionTraffic
from tests.acceptance.two_daemons import Pair, two_daemons

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.acceptance, pytest.mark.timeout(400)]

PARTITIONS: Final = 4
MOVED_S_MAX: Final = 60
ANSWER_S_MAX: Final = 10


@pytest.fixture
def pair(url: str) -> Iterator[Pair]:
    """Two daemons between which partitions move soon."""
    with two_daemons(url, PARTITIONS, 2_000) as made:
        yield made


def _leaders(client: redis.Redis) -> list[bytes]:
    """The tokens of the daemons that lead, by partition; empty where nobody does."""
    found: Any = client.mget([Keys(number).leader for number in range(PARTITIONS)])
    return [one or b"" for one in found]


def _shares(client: redis.Redis) -> list[int]:
    """How many partitions each daemon leads."""
    leaders = _leaders(client)
    return sorted(leaders.count(one) for one in set(leaders) if one)


def test_two_daemons_share_the_partitions_and_one_takes_over_from_the_other(pair: Pair) -> None:
    """The second one gets its half one by one, under load; killed, it gives it back.

    Every command has one effect and one answer, none later than a take-over lasts.
    """
    first, second, client, _ = pair
    first.begin()
    assert _shares(client) == [PARTITIONS]
    with PartitionTraffic(client, PARTITIONS) as traffic:
        second.begin()
        second.until(lambda: _shares(client) == [PARTITIONS // 2] * 2, MOVED_S_MAX)
        second.until(lambda: second.here() == "ready")
        status = first.status()
        assert status["state"] == "ready"
        assert [line["state"] for line in status["partitions"]] == ["ready"] * PARTITIONS
        moved_s = traffic.longest_s()
        second.kill_all()
        first.until(lambda: _shares(client) == [PARTITIONS], MOVED_S_MAX)
        assert traffic.answered() == PARTITIONS
    print(f"longest answer: {moved_s:.2f} s while moving, {traffic.longest_s():.2f} s in all")
    assert moved_s <= scaled(ANSWER_S_MAX)
    assert traffic.longest_s() <= scaled(ANSWER_S_MAX)
    assert first.run("audit").returncode == 0
    traffic.assert_exact()
