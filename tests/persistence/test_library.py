"""The function library: loaded where it is missing or older, refused where it is newer."""

import pytest
import redis

from persistence.redis.functions import LibraryError, ensure_library, source, version_of


def _load(client: redis.Redis, version: int) -> None:
    code = source().replace(f"version {version_of(source())}", f"version {version}")
    client.function_load(code, replace=True)


def test_it_is_loaded_where_it_is_missing(client: redis.Redis) -> None:
    client.function_flush()
    assert ensure_library(client) == version_of(source()) > 0
    assert client.function_list(library="meterd")


def test_an_older_one_is_replaced(client: redis.Redis) -> None:
    _load(client, 0)
    ensure_library(client)
    listed = client.function_list(library="meterd", withcode=True)
    assert f"version {version_of(source())}".encode() in listed[0][-1]


def test_a_newer_one_is_refused_with_the_way_to_go(client: redis.Redis) -> None:
    _load(client, version_of(source()) + 1)
    with pytest.raises(LibraryError, match="upgrade this one too"):
        ensure_library(client)
