"""The real daemon as users run it: ``meterd up`` in a process of its own, with real parts."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import redis
from sqlalchemy import Engine

from daemon.discovery.runfile import RunFile
from loadtests.common.queue import is_handled
from loadtests.common.timeouts import READY_TIMEOUT_S, scaled
from loadtests.common.watchdog import end_with_us, remove_with_us
from meterd.redis_servers import RedisServers
from meterd.rules.redis_keys import Keys
from persistence.postgres.engine import make_engine
from persistence.redis.client import RedisClients, connect

METERD = str(Path(sys.executable).with_name("meterd"))
KEYS = Keys()


class LiveDaemon:
    """One METERD_HOME and the daemon that runs in it, or does not at the moment."""

    def __init__(self, home: Path, env: Mapping[str, str], *, command: str = METERD) -> None:
        self.home = home
        self.command = command
        self.env = {**_plain_environment(), **env, "METERD_HOME": str(home)}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until commands are being handled."""
        self.launch()
        self.until(self.is_ready, READY_TIMEOUT_S)

    def is_ready(self) -> bool:
        """Whether this process is: one that was killed leaves its addresses and last word."""
        assert self.process is not None
        is_its = RunFile(self.home).pid() == self.process.pid
        return is_its and self.published().get("state") == "ready"

    def launch(self) -> None:
        """Start it."""
        with (self.home.parent / f"{self.home.name}.out").open("ab") as out:
            self.process = subprocess.Popen(
                [self.command, "up"],
                env=self.env,
                cwd=self.home.parent,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        end_with_us(self.process.pid)

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=scaled(30))

    def kill(self) -> None:
        """SIGKILL of the daemon's process; what hangs on it goes down with it or is left."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(timeout=scaled(30))

    def run(self, *args: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
        """Run another command of meterd's in the same home."""
        return subprocess.run(
            [self.command, *args], env=self.env, cwd=self.home.parent, capture_output=True,
            text=True, timeout=scaled(timeout_s), check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def status(self) -> dict[str, Any]:
        """What ``meterd status --json`` prints."""
        found: dict[str, Any] = json.loads(self.run("status", "--json").stdout)
        return found

    def published(self) -> dict[str, Any]:
        """The same without starting a process; empty while there is none."""
        with contextlib.suppress(FileNotFoundError, redis.RedisError, ValueError):
            with self.client() as client:
                raw = client.get(KEYS.status)
            return json.loads(raw) if isinstance(raw, bytes) else {}
        return {}

    @property
    def redis_url(self) -> str:
        """Where the queue is."""
        return str(self._addresses()["redis_url"])

    @property
    def redis_urls(self) -> list[str]:
        """The same, of all servers that share the partitions."""
        found = self._addresses()
        return list(found["redis_urls"] or [found["redis_url"]])

    @property
    def postgres_url(self) -> str:
        """Where the records are."""
        return str(self._addresses()["postgres_url"])

    def client(self) -> redis.Redis:
        """A client of the daemon's Redis, of several the one with partition 0."""
        return connect(RedisServers(self.redis_urls).first)

    def clients(self) -> RedisClients:
        """Clients of all of them."""
        return RedisClients(RedisServers(self.redis_urls))

    def engine(self) -> Engine:
        """The daemon's Postgres."""
        return make_engine(self.postgres_url)

    def until(self, holds: Callable[[], bool], timeout_s: float = 30) -> None:
        """Wait until something holds; fails at once if the daemon has ended by itself.

        Args:
            holds: asked again and again.
            timeout_s: the limit, on a machine with nothing else to do.
        """
        deadline = time.monotonic() + scaled(timeout_s)
        while not holds():
            ended = self.process is not None and self.process.poll() is not None
            assert not ended, f"the daemon has ended: {self.output()}"
            assert time.monotonic() < deadline, (
                f"not within {scaled(timeout_s):g} s: {self.output()}"
            )
            time.sleep(0.05)

    def until_handled(self, timeout_s: float = 60) -> None:
        """Wait until the queue is worked off and Postgres has all of it."""
        with self.clients() as clients:
            for number in range(int(self.env.get("METERD_PARTITIONS", "1"))):
                self.until(partial(is_handled, clients.of(number), Keys(number)), timeout_s)

    def output(self) -> str:
        """The end of what the daemon printed."""
        return (self.home.parent / f"{self.home.name}.out").read_text()[-3000:]

    def _addresses(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.home / "run.json").read_text())
        return found


def _plain_environment() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith("METERD_")}


@contextlib.contextmanager
def live_daemon(**env: str) -> Iterator[LiveDaemon]:
    """A running daemon on embedded servers; stopped and removed afterwards."""
    with launched_daemon(**env) as daemon:
        daemon.until(daemon.is_ready, READY_TIMEOUT_S)
        yield daemon


@contextlib.contextmanager
def launched_daemon(**env: str) -> Iterator[LiveDaemon]:
    """The same, as soon as it is launched."""
    folder = Path(tempfile.mkdtemp(prefix="meterd-live-", dir="/tmp"))
    remove_with_us(folder)
    daemon = LiveDaemon(folder / "home", env)
    try:
        daemon.launch()
        yield daemon
        assert daemon.stop() == 0, daemon.output()
    finally:
        if daemon.process is not None and daemon.process.poll() is None:
            daemon.stop()
        shutil.rmtree(folder, ignore_errors=True)
