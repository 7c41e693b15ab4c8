"""A daemon that must not work beside what is there refuses to start, before it touches anything."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from daemon.discovery.runfile import Addresses
from daemon.process.daemon import prepare
from meterd.rules.redis_keys import Keys
from persistence.errors import FunctionsError, PreflightError
from persistence.postgres import migrate
from persistence.redis.client import connect
from persistence.redis.functions import library_name, source
from persistence.redis.versions import FORMAT, VERSION
from tests.servers import redis_server

KEYS = Keys()


@pytest.fixture
def servers(empty_url: str) -> Iterator[tuple[Addresses, redis.Redis]]:
    with redis_server() as url, contextlib.closing(connect(url)) as client:
        yield Addresses(url, empty_url), client


def _libraries(client: redis.Redis) -> set[str]:
    found: Any = client.function_list()
    return {one[1].decode() for one in found}


def test_two_versions_behind_is_refused(servers: tuple[Addresses, redis.Redis]) -> None:
    addresses, client = servers
    client.function_load(source(VERSION + 2))
    with pytest.raises(FunctionsError, match="more than one version before it: upgrade this one"):
        prepare(addresses, 1)
    assert migrate.current_revision(addresses.postgres_url) is None
    assert _libraries(client) == {library_name(VERSION + 2)}
    assert not client.keys("*")


def test_a_format_that_it_does_not_read_is_refused(servers: tuple[Addresses, redis.Redis]) -> None:
    """In any of the partitions."""
    addresses, client = servers
    client.set(Keys(1).format, FORMAT + 1)
    with pytest.raises(PreflightError, match=f"written in format {FORMAT + 1}"):
        prepare(addresses, 2)
    assert migrate.current_revision(addresses.postgres_url) is None
    assert _libraries(client) == set()


def test_one_version_behind_or_ahead_is_no_obstacle(servers: tuple[Addresses, redis.Redis]) -> None:
    """The format stays as the older one knows it until a newer one leads."""
    addresses, client = servers
    client.set(KEYS.epoch, "7")
    client.set(KEYS.format, FORMAT - 1)
    for version in (VERSION - 1, VERSION + 1):
        client.function_load(source(version))
    prepare(addresses, 1)
    assert _libraries(client) == {library_name(v) for v in range(VERSION - 1, VERSION + 2)}
    assert client.get(KEYS.format) == str(FORMAT - 1).encode()
