"""Valkey and Redis, each with the users that ``deploy/redis-users.acl`` describes."""

from collections.abc import Iterator

import pytest

from tests.deploy.roles import Guarded, guarded_server, load_as_daemon
from tests.servers import kinds


@pytest.fixture(scope="package", params=kinds())
def server(request: pytest.FixtureRequest) -> Iterator[Guarded]:
    with guarded_server(request.param) as running:
        load_as_daemon(running)
        yield running
