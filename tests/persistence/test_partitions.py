"""Partitions on one server: what is said of one says nothing of another."""

from typing import Any

import pytest
import redis

from meterd.rules.redis_keys import Keys
from persistence.redis.functions import FunctionName, function_name

LEASE_MS = 60_000
PARTITIONS = (Keys(0), Keys(1), Keys(2))

pytestmark = pytest.mark.redis


def _call(client: redis.Redis, keys: Keys, name: FunctionName, *args: str | int) -> Any:
    return client.fcall(function_name(name), 1, keys.commands, *args)


def _lead(client: redis.Redis, keys: Keys) -> tuple[str, str]:
    """Acquire the lease; returns the epoch and whether the state is verified."""
    _, epoch, verified = _call(client, keys, "acquire_lease", f"t{keys.partition}", LEASE_MS)
    return epoch.decode(), verified.decode()


def test_each_partition_is_verified_by_itself(client: redis.Redis) -> None:
    """One server process holds several: each leader compares its own state, and loses no right."""
    epochs = {}
    for number, keys in enumerate(PARTITIONS):
        epoch, verified = _lead(client, keys)
        assert verified == "unverified", "another partition's state says nothing of this one"
        assert _call(client, keys, "issue_epoch", epoch, "a") is None
        assert _call(client, keys, "confirm_integrity", f"t{number}", epoch, f"memory{number}") == 1
        epochs[keys] = epoch
    for number, keys in enumerate(PARTITIONS):
        assert _call(client, keys, "renew_lease", f"t{number}", epochs[keys], LEASE_MS) == 1
        assert _call(client, keys, "issue_epoch", epochs[keys], "a") is not None


def test_a_doubt_about_one_partition_stops_no_other(client: redis.Redis) -> None:
    """Its own leader has to compare again; the others go on."""
    epochs = {}
    for keys in PARTITIONS:
        epochs[keys], _ = _lead(client, keys)
        token = f"t{keys.partition}"
        _call(client, keys, "confirm_integrity", token, epochs[keys], f"m{keys.partition}")
    doubted, *others = PARTITIONS
    assert _call(client, doubted, "doubt", "supervisor", epochs[doubted]) == 1
    assert _call(client, doubted, "issue_epoch", epochs[doubted], "a") is None
    assert _call(client, doubted, "renew_lease", "t0", epochs[doubted], LEASE_MS) == 2
    for keys in others:
        assert _call(client, keys, "issue_epoch", epochs[keys], "a") is not None
