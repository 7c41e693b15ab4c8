"""The function library: loaded where it is missing or older, refused where it is newer."""

import pytest
import redis

from persistence.errors import FunctionsError
from persistence.redis.functions import load_functions, source, version_of


def _load(client: redis.Redis, version: int) -> None:
    code = source().replace(f"version {version_of(source())}", f"version {version}")
    client.function_load(code, replace=True)


def test_it_is_loaded_where_it_is_missing(client: redis.Redis) -> None:
    client.function_flush()
    assert load_functions(client) == version_of(source()) > 0
    assert client.function_list(library="meterd")


def test_an_older_one_is_replaced(client: redis.Redis) -> None:
    _load(client, 0)
    load_functions(client)
    listed = client.function_list(library="meterd", withcode=True)
    assert f"version {version_of(source())}".encode() in listed[0][-1]


def test_a_newer_one_is_refused_with_the_way_to_go(client: redis.Redis) -> None:
    _load(client, version_of(source()) + 1)
    with pytest.raises(FunctionsError, match="upgrade this one too"):
        load_functions(client)
