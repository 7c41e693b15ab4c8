"""Clients in TypeScript and a server for them.

One kind of server is enough here: the other kinds are for what the daemon asks of them.
"""

from collections.abc import Iterator
from typing import Any

import pytest
import redis

from tests.client.typescript.node import Call, Driver, Meter
from tests.servers import redis_server


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """A server for all tests of the client in TypeScript."""
    with redis_server() as url:
        yield url


@pytest.fixture
def make(driver: Driver) -> Iterator[Call]:
    """Makes clients, and closes them in the end."""
    made: list[Meter] = []

    def make(url: str, **options: object) -> Meter:
        made.append(Meter(driver, url, **options))
        return made[-1]

    yield make
    for meter in made:
        meter.close()


@pytest.fixture
def meter(server: str, queue: redis.Redis, make: Call) -> Any:
    """A client on an empty server."""
    return make(server)
