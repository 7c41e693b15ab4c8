"""One kind of server is enough here: the other kinds are for what the daemon asks of them."""

from collections.abc import Iterator

import pytest

from tests.servers import redis_server


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """A server for all tests of the client in TypeScript."""
    with redis_server() as url:
        yield url
