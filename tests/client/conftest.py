"""Servers, proxies and both clients."""

import fcntl
import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import redis

from loadtests.common.live import LiveDaemon
from tests.client.either import Make, maker
from tests.client.played import Client, NodeClient, PythonClient
from tests.client.typescript.node import Driver, install
from tests.proxy import Proxy, proxy_to
from tests.servers import kinds, redis_server

_NUMBERS = count()


@pytest.fixture(scope="session", params=kinds())
def server(request: pytest.FixtureRequest) -> Iterator[str]:
    """A server of each kind, for all tests of the client."""
    with redis_server(request.param) as url:
        yield url


@pytest.fixture
def queue(server: str) -> Iterator[redis.Redis]:
    """A look into the server from beside; it begins empty."""
    with redis.Redis.from_url(server, protocol=2) as client:
        client.flushall()
        yield client


@pytest.fixture
def proxy(server: str) -> Iterator[Proxy]:
    with proxy_to(server) as proxy:
        yield proxy


@pytest.fixture(params=["threads", "asyncio"])
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Makes a client of each kind; arguments as of ``Meter``."""
    with maker(request.param) as make:
        yield make


@pytest.fixture
def meter(server: str, queue: redis.Redis, make: Make) -> Any:
    """A client of each kind on an empty server."""
    return make(server)


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the client in TypeScript with the packages of its lock file.

    Installed once, however many processes run the tests.
    """
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    with (folder / "package.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        package = folder / "package"
        return package if package.exists() else install(package)


@pytest.fixture(scope="session")
def driver(package: Path) -> Iterator[Driver]:
    """A process of Node.js for all clients in TypeScript."""
    driver = Driver(package)
    yield driver
    driver.close()


@pytest.fixture
def live_proxy(live: LiveDaemon) -> Iterator[Proxy]:
    with proxy_to(live.redis_url) as proxy:
        yield proxy


@pytest.fixture(params=["typescript", "threads", pytest.param("asyncio", marks=pytest.mark.slow)])
def client(request: pytest.FixtureRequest, live_proxy: Proxy) -> Iterator[Client]:
    """A client of each kind behind the proxy."""
    if request.param == "typescript":
        driver: Driver = request.getfixturevalue("driver")
        client = NodeClient(driver, f"meter-{next(_NUMBERS)}", live_proxy.url)
        yield client
        client.close().result(10)
    else:
        with maker(request.param) as make:
            yield PythonClient(make(live_proxy.url))
            live_proxy.flow()
