"""The load of chaos runs, without faults."""

from contextlib import closing

import pytest

from tests.chaos.load import Client
from tests.load import Load
from tests.servers import redis_server

pytestmark = pytest.mark.redis


@pytest.mark.parametrize("seed", range(3))
def test_any_seed_sends_without_an_error(seed: int) -> None:
    """With two users each one is the last one often: nobody is after it in the list."""
    with redis_server() as url, closing(Client(url, Load(2, 2, seed, name="t"))) as client:
        client.begin()
        client.send_for(0.5, 2_000)
        strangers = {
            entry["user_id"]
            for _, entry in client.log
            if entry["type"] == "pause" and "user_id" in entry
        }
        assert strangers == {"tu0", "tu1"}
