"""Two daemons on the same servers: one works, the other stands by and takes over."""

import contextlib
import itertools
import json
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import redis

from daemon.process.ray_processes import descendants_of
from loadtests.common.live import LiveDaemon
from loadtests.common.timeouts import READY_TIMEOUT_S, scaled
from meterd.rules.partitions import partition_of
from meterd.rules.redis_keys import Keys
from persistence.redis.client import connect
from tests.servers import redis_server

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.acceptance, pytest.mark.timeout(240)]


class StandingBy(LiveDaemon):
    """A daemon that does not have to become ready."""

    def begin(self) -> None:
        """Start it and wait until it says what it is."""
        self.launch()
        self.until(lambda: self.here() in ("ready", "standby"), READY_TIMEOUT_S)

    def here(self) -> str:
        """What this one is, whoever works."""
        with contextlib.suppress(FileNotFoundError, ValueError):
            return str(json.loads((self.home / "state.json").read_text())["state"])
        return ""

    def kill_all(self) -> None:
        """SIGKILL of all its processes at once."""
        assert self.process is not None
        for pid in [self.process.pid, *descendants_of(self.process.pid)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(scaled(30))
        (self.home / "state.json").unlink()


class Pair(NamedTuple):
    """Two daemons, and the server that their queue is on."""

    first: StandingBy
    second: StandingBy
    client: redis.Redis
    partitions: int


@pytest.fixture(params=[1, 4])
def pair(url: str, request: pytest.FixtureRequest) -> Iterator[Pair]:
    folder = Path(tempfile.mkdtemp(prefix="meterd-pair-", dir="/tmp"))
    with redis_server() as redis_url, contextlib.closing(connect(redis_url)) as client:
        numbered = {"METERD_PARTITIONS": str(request.param)}
        env = {"METERD_REDIS__URL": redis_url, "METERD_POSTGRES__URL": url, **numbered}
        both = StandingBy(folder / "a", env), StandingBy(folder / "b", env)
        try:
            yield Pair(*both, client, request.param)
        finally:
            for daemon in both:
                if daemon.process is not None and daemon.process.poll() is None:
                    daemon.stop()
            shutil.rmtree(folder)


def _send(pair: Pair, id_: str) -> list[str]:
    """A command in each partition; where their replies will be."""
    left, replies = set(range(pair.partitions)), []
    for user in map("u{}".format, itertools.count()):
        number = partition_of(user, pair.partitions)
        if number in left:
            left.remove(number)
            command: Any = {"type": "top_up", "id": id_, "user_id": user, "amount": "1"}
            pair.client.xadd(Keys(number).commands, {**command, "reply_to": id_})
            replies.append(Keys(number).reply(id_))
        if not left:
            return replies
    raise AssertionError("there are users in each partition")


def test_the_one_that_stands_by_takes_over_and_says_so(pair: Pair) -> None:
    """A command that was sent when nobody worked is answered; the first one, back, stands by.

    All partitions go over: each has a lease of its own.
    """
    first, second, client, partitions = pair
    first.begin()
    second.begin()
    assert (first.here(), second.here()) == ("ready", "standby")
    status = second.status()
    assert status["state"] == "ready", "commands are being handled, by the other one"
    assert status["here"]["state"] == "standby"
    assert "another daemon works" in second.run("status").stdout
    first.kill_all()
    replies = _send(pair, "k1")
    second.until(lambda: client.exists(*replies) == partitions)
    second.until(lambda: second.here() == "ready")
    assert int(second.status()["epoch"]) > int(status["epoch"])
    first.begin()
    assert first.here() == "standby"
    assert second.run("audit").returncode == 0
