"""Redis and PostgreSQL as processes of our own, durable, so that they can be killed and hung."""

import contextlib
import resource
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis
from sqlalchemy import make_url, text

from daemon.embedded.home import make_home
from daemon.embedded.postgres import PostgresServer
from loadtests.common.timeouts import scaled
from loadtests.common.watchdog import end_with_us
from persistence.postgres.engine import make_engine
from persistence.redis.client import connect
from tests.chaos.processes import descendants, send
from tests.servers import binary, free_port

START_S_MAX = scaled(60)
UNLIMITED = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


class Redis:
    """A server with an append-only file, synced every second, always at the same port."""

    def __init__(self, kind: str, folder: Path) -> None:
        """Nothing starts before ``start``."""
        self.kind = kind
        self._folder = folder
        self._program = binary(kind)
        assert self._program is not None, f"{kind} is not installed"
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"redis://127.0.0.1:{self._port}/0"
        folder.mkdir()

    @property
    def pid(self) -> int:
        """The server's process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, unless it runs, and wait until it answers with its data loaded."""
        if self._process is None or self._process.poll() is not None:
            self._process = self._spawn()
        deadline = time.monotonic() + START_S_MAX
        while not self._answers():
            assert self._process.poll() is None, f"Redis ended at once; see {self._folder}"
            assert time.monotonic() < deadline, f"Redis does not answer; see {self._folder}"
            time.sleep(0.02)

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        return "127.0.0.1", self._port

    def hand_over(self, to: "Redis") -> None:
        """Make the other one the master, with all that is here; this one is its replica then."""
        with contextlib.closing(to.client()) as replica:
            replica.replicaof(self.address[0], str(self._port))
        self._until(lambda client: _is_online(client.info("replication")))
        host, port = to.address
        with contextlib.closing(self.client()) as master:
            master.execute_command("FAILOVER", "TO", host, port)  # type: ignore[no-untyped-call]
        self._until(lambda client: client.info("replication")["role"] == "slave")

    def _until(self, holds: Callable[[redis.Redis], bool]) -> None:
        deadline = time.monotonic() + START_S_MAX
        with contextlib.closing(self.client()) as client:
            while not holds(client):
                assert time.monotonic() < deadline, f"no replication; see {self._folder}"
                time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(timeout=scaled(30))

    def hang(self) -> None:
        """SIGSTOP; ``wake`` lets it go on."""
        send(self.pid, signal.SIGSTOP)

    def wake(self) -> None:
        """SIGCONT."""
        send(self.pid, signal.SIGCONT)

    def fill_disk(self) -> None:
        """No file of it may grow; what it would have written fails as on a full disk."""
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))

    def free_disk(self) -> None:
        """There is room again."""
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, UNLIMITED)

    def client(self) -> redis.Redis:
        """A connection past all proxies."""
        return connect(self.url)

    def _spawn(self) -> subprocess.Popen[bytes]:
        options = {
            "port": self._port, "bind": "127.0.0.1", "save": "", "appendonly": "yes",
            "appendfsync": "everysec", "dir": self._folder, "logfile": self._folder / "log",
        }  # fmt: skip
        words = [str(word) for k, v in options.items() for word in (f"--{k}", v)]
        assert self._program is not None
        # Signals stay as Python has them: a file that may not grow must be an error, not the end.
        process = subprocess.Popen([self._program, *words], restore_signals=False)
        end_with_us(process.pid)
        return process

    def _answers(self) -> bool:
        with contextlib.suppress(redis.RedisError), contextlib.closing(self.client()) as client:
            return bool(client.ping())
        return False


def _is_online(replication: Any) -> bool:
    """Whether the master's one replica has all that there was when it came."""
    return bool(replication.get("slave0", {}).get("state") == "online")


class Postgres:
    """A PostgreSQL with data in ``folder``/postgres, always at the same port."""

    def __init__(self, folder: Path) -> None:
        """Nothing starts before ``start``."""
        make_home(folder)
        self._folder = folder
        self._data = folder / "postgres"
        self._server = PostgresServer(folder)

    @property
    def url(self) -> str:
        """The database, past all proxies."""
        return self._server.url

    @property
    def pid(self) -> int:
        """The server's main process."""
        return int((self._data / "postmaster.pid").read_text().split("\n")[0])

    def start(self) -> None:
        """Start it, unless it runs, and wait until it has recovered."""
        if not self._server.is_running():
            self._server.start()
            end_with_us(self.pid)

    def stop_at_once(self) -> None:
        """SIGQUIT: every backend drops what it is doing; the next start recovers."""
        if self._server.is_running():
            send(self.pid, signal.SIGQUIT)
        deadline = time.monotonic() + START_S_MAX
        while self._server.is_running():
            assert time.monotonic() < deadline, "PostgreSQL does not stop"
            time.sleep(0.02)

    def copy(self) -> Path:
        """What is on its disk at this moment, as a standby has it that hears no more."""
        self.stop_at_once()
        copied = Path(tempfile.mkdtemp(dir=self._folder.parent)) / "postgres"
        subprocess.run(["cp", "-a", self._data, copied], check=True)  # with its owner
        self.start()
        return copied

    def take_over(self, copied: Path) -> None:
        """The standby is the server from now on: what came after the copy is gone."""
        self.stop_at_once()
        shutil.rmtree(self._data)
        copied.rename(self._data)
        self.start()

    def stop(self) -> None:
        """In order, so that it leaves nothing behind, not even in shared memory."""
        self.start()
        self._server.stop(int(START_S_MAX * 1000))

    def refuse_writes(self, yes: bool) -> None:
        """Every new transaction is read-only, or is not any more."""
        verb = "SET default_transaction_read_only = on" if yes else (
            "RESET default_transaction_read_only"
        )  # fmt: skip
        self._run(f"ALTER SYSTEM {verb}")
        self._run("SELECT pg_reload_conf()")

    def begin_read_only_sessions(self) -> None:
        """Every session ends, and those that begin from now on are read-only for ever."""
        self._default("SET default_transaction_read_only = on")
        self._run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )

    def end_read_only_sessions(self) -> None:
        """Sessions that begin from now on may write; those that are there stay as they are."""
        self._default("RESET default_transaction_read_only")

    def _default(self, what: str) -> None:
        """Change a default of the database; who does so may write."""
        database = make_url(self.url).database
        self._run("SET default_transaction_read_only = off", f'ALTER DATABASE "{database}" {what}')

    def fill_disk(self) -> None:
        """No file may grow beyond some pages; PostgreSQL takes it as a full disk."""
        self._limit((1 << 16, resource.RLIM_INFINITY))

    def free_disk(self) -> None:
        """There is room again; a server that has given up meanwhile is started again."""
        if self._server.is_running():
            self._limit(UNLIMITED)
        self.stop_at_once()
        self.start()

    def _run(self, *statements: str) -> None:
        engine = make_engine(self.url).execution_options(isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for sql in statements:
                connection.execute(text(sql))
        engine.dispose()

    def _limit(self, limit: tuple[int, int]) -> None:
        for pid in [self.pid, *(process.pid for process in descendants(self.pid))]:
            with contextlib.suppress(OSError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, limit)
