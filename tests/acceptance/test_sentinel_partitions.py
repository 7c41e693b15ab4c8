"""Sentinel fails over under load, with four partitions: all of them are answered again in time."""

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Any, Final

import pytest
import redis

from loadtests.common.live import live_daemon
from loadtests.common.timeouts import scaled
from meterd import Meter
from tests.acceptance.backends import Backends
from tests.acceptance.four_partitions import PARTITIONS, states, user_of_each
from tests.engine.pair import replicated_pair
from tests.servers import VALKEY, sentinel

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.acceptance, pytest.mark.timeout(300)]

ANSWER_S_MAX: Final = 10.0
CALL_S_MAX: Final = 2.0
"""A command of which the old master alone knew is sent again, with its id."""


def test_a_master_that_is_killed_costs_seconds(tmp_path: Path) -> None:
    """Each backend sends again what was not answered; each command has one effect.

    What the replica did not have yet is lost, as with any Redis: at most the last command of each
    backend. If PostgreSQL had it already, the state is lost until it is rebuilt.
    """
    users = user_of_each("sentinel")
    with (
        replicated_pair(VALKEY) as pair,
        sentinel(VALKEY, tmp_path, pair.first_address) as url,
        live_daemon(METERD_PARTITIONS=str(PARTITIONS), METERD_REDIS__URL=url) as daemon,
    ):
        daemon.until(lambda: states(daemon) == ["ready"] * PARTITIONS, 60)
        _until_the_replica_is_known(url)
        backends = Backends(url, users, CALL_S_MAX)
        try:
            backends.wait()
            _kill(pair.first)
            began = time.monotonic()
            daemon.until(lambda: _master(url) == pair.second, 30)
            daemon.until(lambda: set(states(daemon)) <= {"ready", "lost"}, 60)
            is_lost = "lost" in states(daemon)
            if is_lost:
                assert daemon.run("recover", "--by", "ann").returncode == 0
            backends.wait()
            took_s = max(min(t for t in times if t > began) for times in backends.answered.values())
        finally:
            backends.stop()
        print(f"answered after {took_s - began:.1f} s; the state was lost: {is_lost}")
        assert not backends.errors
        daemon.until(lambda: states(daemon) == ["ready"] * PARTITIONS, 60)
        daemon.until_handled()
        audit = daemon.run("audit")
        assert audit.returncode == 0, audit.stdout
        with Meter(url) as meter:
            for user in users:
                assert 0 <= backends.top_ups(user) - meter.wallet(user).balance <= 1
        assert is_lost or backends.longest_gap_s() <= scaled(ANSWER_S_MAX)


def _kill(url: str) -> None:
    with contextlib.closing(redis.Redis.from_url(url)) as client:
        os.kill(int(client.info("server")["process_id"]), signal.SIGKILL)


def _asked(url: str, *question: str) -> Any:
    address = url.removeprefix("redis+sentinel://").partition("/")[0]
    with contextlib.closing(redis.Redis.from_url(f"redis://{address}")) as client:
        ask: Any = client.execute_command
        return ask("SENTINEL", *question, "mymaster")


def _master(url: str) -> str:
    host, port = _asked(url, "GET-MASTER-ADDR-BY-NAME")
    return f"redis://{host.decode()}:{port.decode()}/0"


def _until_the_replica_is_known(url: str) -> None:
    deadline = time.monotonic() + scaled(30)
    while not _asked(url, "REPLICAS"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
