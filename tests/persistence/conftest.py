"""Redis and Valkey, each with the function library loaded, empty for each test."""

from collections.abc import Iterator

import pytest
import redis

from persistence.redis.client import connect
from persistence.redis.functions import load_functions
from tests.servers import kinds, redis_server


@pytest.fixture(scope="session", params=kinds())
def server(request: pytest.FixtureRequest) -> Iterator[str]:
    with redis_server(request.param) as url:
        yield url


@pytest.fixture
def client(server: str) -> Iterator[redis.Redis]:
    with connect(server) as client:
        client.flushall()
        client.function_flush()
        load_functions(client)
        yield client
