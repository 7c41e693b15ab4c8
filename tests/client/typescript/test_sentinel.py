"""The client in TypeScript asks Sentinels where the master is, and after a failover asks again."""

from pathlib import Path

import pytest
import redis

from tests.client.typescript.node import Driver
from tests.engine.pair import fail_over_by_sentinel, replicated_pair
from tests.servers import free_port, kinds, sentinel

pytestmark = [pytest.mark.redis, pytest.mark.timeout(90)]


@pytest.mark.slow
def test_the_master_is_found_at_the_start_and_after_a_failover(
    driver: Driver, tmp_path: Path
) -> None:
    """Of several Sentinels the first that answers tells."""
    kind = kinds()[0]
    with replicated_pair(kind) as pair, sentinel(kind, tmp_path, pair.first_address) as url:
        several = url.replace("sentinel://", f"sentinel://127.0.0.1:{free_port()},")
        driver.ask("make", meter="sentinels", url=several, options={})
        pause = {"meter": "sentinels", "method": "pause", "enqueue": True, "args": {"chat_id": "c"}}
        first = driver.ask("call", **pause)["entry"]
        assert _commands(pair.first) == [first]
        fail_over_by_sentinel(url)
        second = driver.ask("call", **pause)["entry"]
        driver.ask("close", meter="sentinels")
        assert _commands(pair.second)[-1] == second != first


def _commands(url: str) -> list[str]:
    with redis.Redis.from_url(url) as client:
        return [entry.decode() for entry, _ in client.xrange("meterd:{0}:commands")]
