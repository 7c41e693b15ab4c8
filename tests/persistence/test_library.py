"""The function library: each version beside the one before it, older ones taken away."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any, Final, get_args

import pytest
import redis

from loadtests.common.live import METERD
from loadtests.common.timeouts import scaled
from meterd.rules.redis_keys import Keys
from persistence.errors import FunctionsError
from persistence.redis.client import connect
from persistence.redis.functions import (
    MISSING,
    FunctionName,
    check_functions,
    function_name,
    library_name,
    load_functions,
    source,
)
from persistence.redis.versions import UNVERSIONED, VERSION

pytestmark = pytest.mark.redis

KEYS: Final = Keys()


def unversioned(version: int) -> str:
    """A library as it was called before it had a version in its name."""
    return (
        f"#!lua name=meterd\n-- meterd version {version}\n"
        "redis.register_function{function_name='meterd_version', flags={'no-writes'}, "
        f"callback=function() return '{version}' end}}"
    )


def _libraries(client: redis.Redis) -> dict[str, str]:
    """The text of each library of meterd's."""
    found: Any = client.function_list(library="meterd*", withcode=True)
    described = [dict(zip(one[::2], one[1::2], strict=True)) for one in found]
    return {one[b"library_name"].decode(): one[b"library_code"].decode() for one in described}


def test_it_is_loaded_where_it_is_missing(client: redis.Redis) -> None:
    client.function_flush()
    assert load_functions(client) == VERSION
    assert _libraries(client) == {library_name(): source()}


def test_its_functions_are_those_that_are_called_by_name(client: redis.Redis) -> None:
    """The Lua text registers each, under the version that Python has, and no other."""
    found: Any = client.function_list(library=library_name())
    described = dict(zip(found[0][::2], found[0][1::2], strict=True))
    names = {
        dict(zip(one[::2], one[1::2], strict=True))[b"name"].decode()
        for one in described[b"functions"]
    }
    assert names == {function_name(name) for name in get_args(FunctionName)}
    assert f"meterd_{VERSION}_read" in names


def test_another_text_of_the_same_version_is_replaced(client: redis.Redis) -> None:
    client.function_load(source() + "-- changed\n", replace=True)
    load_functions(client)
    assert _libraries(client) == {library_name(): source()}


def test_those_beside_it_stay_and_older_ones_go(client: redis.Redis) -> None:
    """The version before it may have a daemon that works; so may the next one."""
    for version in (VERSION - 2, VERSION - 1, VERSION + 1):
        client.function_load(source(version))
    client.function_load("#!lua name=other\nredis.register_function('f', function() end)")
    load_functions(client)
    kept = (VERSION - 1, VERSION, VERSION + 1)
    assert set(_libraries(client)) == {library_name(version) for version in kept}
    assert client.function_list(library="other"), "only meterd's own are taken away"


def test_what_may_not_be_deleted_stays(client: redis.Redis, server: str) -> None:
    """As under users from before that was a right the daemon needs: nothing depends on it."""
    client.function_load(source(VERSION - 2))
    client.acl_setuser(
        "old", enabled=True, nopass=True, keys=["*"], commands=["+@all", "-function|delete"]
    )
    with connect(server.replace("://", "://old:x@")) as limited:
        load_functions(limited)
    assert set(_libraries(client)) == {library_name(VERSION - 2), library_name()}


def test_two_versions_ahead_is_refused_with_the_way_to_go(client: redis.Redis) -> None:
    """Nothing is loaded or taken away then."""
    client.function_flush()
    client.function_load(source(VERSION + 2))
    for refuses in (load_functions, check_functions):
        with pytest.raises(FunctionsError, match=f"version {VERSION + 2}, this meterd has"):
            refuses(client)
    assert set(_libraries(client)) == {library_name(VERSION + 2)}


def test_the_last_one_without_a_version_in_its_name_counts_as_the_one_before(
    client: redis.Redis,
) -> None:
    """Its daemon may go on; so it stays as it is."""
    assert VERSION - 1 == UNVERSIONED, "once it is older than that, this test can go"
    client.function_load(unversioned(UNVERSIONED))
    load_functions(client)
    assert client.fcall("meterd_version", 0) == str(UNVERSIONED).encode()
    assert function_name("read", UNVERSIONED) == "meterd_read"


def test_an_older_one_without_a_version_in_its_name_sends_its_daemon_away(
    client: redis.Redis,
) -> None:
    """That daemon would load its own again if it were gone; of a newer version it knows to end."""
    client.function_load(unversioned(UNVERSIONED - 1))
    load_functions(client)
    assert int(client.fcall("meterd_version", 0)) == VERSION
    text = _libraries(client)["meterd"]
    assert f"\n-- meterd version {VERSION}\n" in text, "where a start of that version looks"
    load_functions(client)
    assert _libraries(client)["meterd"] == text


def test_a_command_of_a_version_that_no_daemon_has_says_what_to_do(
    client: redis.Redis, server: str, tmp_path: Path
) -> None:
    """An operator's machine was upgraded before any daemon: nothing is done."""
    client.function_flush()
    client.function_load(source(VERSION - 1))
    client.set(KEYS.clock_hold, json.dumps({"step_ms": 9_000, "queue_ms": 1}))
    env = {"METERD_REDIS__URL": server, "METERD_POSTGRES__URL": "postgresql://nobody@127.0.0.1:1/x"}
    command = subprocess.run(
        [METERD, "clock", "accept", "--by", "ann"],
        env={**os.environ, **env, "METERD_HOME": str(tmp_path)},
        capture_output=True, text=True, timeout=scaled(60), check=False,
    )  # fmt: skip
    assert command.returncode != 0
    assert command.stderr.strip() == MISSING
    assert client.get(KEYS.clock_hold)
