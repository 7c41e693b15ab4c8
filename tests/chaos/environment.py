"""What is broken: servers of our own, proxies before them, the daemon, and maybe a second one."""

import contextlib
import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis

from loadtests.common.live import KEYS, LiveDaemon
from loadtests.common.timeouts import scaled
from meterd.rules.model import AT_ZERO_SUSPEND, Policy
from persistence.redis.client import connect
from tests.chaos.processes import Process, descendants, look, send
from tests.chaos.queue_log import QueueLog
from tests.chaos.servers import Postgres, Redis
from tests.proxy import Proxy
from tests.servers import VALKEY

POLICY = Policy(at_zero=AT_ZERO_SUSPEND, grace_ms=2_000, warn_ms=(60_000, 5_000))
"""Everything that time alone can bring happens within seconds."""

KEEP = 10_000_000
"""Of streams: all, so that the checker finds all."""

STOP_S_MAX = scaled(30)
ANSWER_S_MAX = 2.0
GONE_S_MAX = scaled(30)


def settings() -> dict[str, str]:
    """The daemon's settings, addresses aside."""
    return {
        "METERD_CREDITS__AT_ZERO": POLICY.at_zero,
        "METERD_CREDITS__GRACE_MS": str(POLICY.grace_ms),
        "METERD_CREDITS__WARN_MS": ",".join(str(ms) for ms in POLICY.warn_ms),
        # Shorter limits than by default, so that what hangs for seconds is given up and replaced.
        "METERD_REDIS__SOCKET_TIMEOUT_MS": "2000",
        "METERD_ACTORS__CALL_TIMEOUT_MS": "4000",
        "METERD_QUEUE__PROCESSED_RETENTION_MS": str(86_400_000),
        "METERD_QUEUE__REPLY_TTL_MS": str(86_400_000),
        "METERD_QUEUE__REPLY_ENTRIES_MAX": str(KEEP),
        "METERD_QUEUE__EVENT_ENTRIES_MAX": str(KEEP),
        "METERD_QUEUE__DEAD_ENTRIES_MAX": str(KEEP),
    }


class ChaosEnvironment:
    """All of it. The daemon speaks to both servers through proxies, the checker does not."""

    def __init__(self, folder: Path, kind: str = VALKEY) -> None:
        """Start the servers; the daemon waits for ``launch``."""
        self.folder = folder
        self.redis = Redis(kind, folder / "redis")
        self.postgres = Postgres(folder / "pg")
        self.queue_log = QueueLog()
        self._servers = [self.redis]
        self._seen: dict[int, Process] = {}
        self._lives = 0
        with contextlib.ExitStack() as undo:
            undo.callback(self._stop_servers)
            self.redis.start()
            self.postgres.start()
            undo.pop_all()
        self.to_redis = Proxy(self.redis.url)
        self.to_postgres = Proxy(self.postgres.url)
        self.to_clients = Proxy(self.redis.url)
        self.daemon = self.new_daemon()

    def new_daemon(self) -> LiveDaemon:
        """Another daemon on the same servers, with a home of its own; it is not started."""
        self._lives += 1
        env = {
            **settings(),
            "METERD_REDIS__URL": self.to_redis.url,
            "METERD_POSTGRES__URL": self.to_postgres.url,
            "TMPDIR": str(self.folder),
        }
        return LiveDaemon(self.folder / f"home{self._lives}", env)

    def demote_redis(self) -> Redis:
        """Another Redis becomes the master, at the proxies' address for new connections.

        The old one stays up as its replica, and so do the connections to it; it is returned.
        """
        old = self.redis
        new = Redis(old.kind, self.folder / f"redis{len(self._servers) + 1}")
        self._servers.append(new)
        new.start()
        old.hand_over(new)
        for proxy in (self.to_redis, self.to_clients):
            proxy.move(new.url)
        self.redis = new
        return old

    def client(self) -> redis.Redis:
        """A connection to Redis past all proxies; one that hangs is not waited for."""
        return connect(self.redis.url, socket_timeout_s=ANSWER_S_MAX)

    def status(self) -> dict[str, Any]:
        """What the working daemon says of itself; a state of ours if nobody says anything."""
        with contextlib.suppress(redis.RedisError), contextlib.closing(self.client()) as client:
            raw = client.get(KEYS.status)
            return json.loads(raw) if isinstance(raw, bytes) else {"state": "silent"}
        return {"state": "no queue"}

    def family(self, daemon: LiveDaemon | None = None) -> list[Process]:
        """The daemon's process and all below it; what was ever seen is looked after at the end."""
        process = (daemon or self.daemon).process
        if process is None or process.poll() is not None:
            return []
        root = look(process.pid)
        found = [*([root] if root else []), *descendants(process.pid)]
        self._seen |= {member.pid: member for member in found}
        return found

    def titled(self, *titles: str) -> list[Process]:
        """The daemon's processes with one of these words in their titles."""
        return [p for p in self.family() if any(title in p.title for title in titles)]

    def has_ended(self) -> bool:
        """Whether the daemon's process has ended, by itself or not."""
        return self.daemon.process is None or self.daemon.process.poll() is not None

    def left_over(self) -> list[Process]:
        """Processes of all daemons there ever were that do not end by themselves either."""
        return self.wait_gone(list(self._seen.values()))

    def wait_gone(self, processes: list[Process]) -> list[Process]:
        """Wait until these are gone; returns those that are not in time."""
        deadline = time.monotonic() + GONE_S_MAX
        while (left := [p for p in processes if p.is_alive()]) and time.monotonic() < deadline:
            time.sleep(0.05)
        return left

    def stop_daemon(self) -> None:
        """Stop it in order."""
        self.family()
        if not self.has_ended():
            self.daemon.stop()

    def close(self) -> None:
        """End everything that was started here, whatever state it is in."""
        self.family()
        for process in self._seen.values():
            if process.is_alive():
                send(process.pid, signal.SIGKILL)
        if self.daemon.process is not None:
            self.daemon.process.wait(timeout=STOP_S_MAX)
        for proxy in (self.to_redis, self.to_postgres, self.to_clients):
            proxy.close()
        self._stop_servers()

    def _stop_servers(self) -> None:
        for server in self._servers:
            with contextlib.suppress(AssertionError):
                server.kill()
        self.postgres.stop()


def short_folder() -> Path:
    """A folder whose path is short enough for the sockets that Ray puts below it."""
    return Path(tempfile.mkdtemp(prefix="mc-", dir="/tmp"))


@contextlib.contextmanager
def chaos_environment(kind: str | None = None) -> Iterator[ChaosEnvironment]:
    """An environment with a daemon that works; nothing of it is left afterwards."""
    folder = short_folder()
    try:
        made = ChaosEnvironment(folder, kind or os.environ.get("CHAOS_REDIS", VALKEY))
        with contextlib.closing(made):
            made.daemon.start()
            made.family()
            yield made
    finally:
        shutil.rmtree(folder, ignore_errors=True)
