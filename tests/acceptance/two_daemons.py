"""Two daemons on the same servers: one of them need not become ready."""

import contextlib
import json
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import redis

from daemon.process.ray_processes import descendants_of
from loadtests.common.live import LiveDaemon
from loadtests.common.timeouts import READY_TIMEOUT_S, scaled
from persistence.redis.client import connect
from tests.servers import redis_server


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


@contextlib.contextmanager
def two_daemons(postgres_url: str, partitions: int, balance_after_ms: int) -> Iterator[Pair]:
    """Both not started; nothing of them is left."""
    folder = Path(tempfile.mkdtemp(prefix="meterd-pair-", dir="/tmp"))
    with redis_server() as redis_url, contextlib.closing(connect(redis_url)) as client:
        env = {
            "METERD_REDIS__URL": redis_url,
            "METERD_POSTGRES__URL": postgres_url,
            "METERD_PARTITIONS": str(partitions),
            "METERD_SUPERVISOR__BALANCE_AFTER_MS": str(balance_after_ms),
        }
        both = StandingBy(folder / "a", env), StandingBy(folder / "b", env)
        try:
            yield Pair(*both, client, partitions)
        finally:
            for daemon in both:
                if daemon.process is not None and daemon.process.poll() is None:
                    daemon.stop()
            shutil.rmtree(folder)
