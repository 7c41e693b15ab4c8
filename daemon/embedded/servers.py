"""Both embedded servers together, under the lock of their METERD_HOME."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from daemon.embedded.errors import EmbeddedServerError
from daemon.embedded.home import HomeLock, make_home
from daemon.embedded.postgres import PostgresServer
from daemon.embedded.valkey import ValkeyServer

__all__ = ["EmbeddedServers", "Urls"]

_STOP_TIMEOUT_MS = 20_000


@dataclass(frozen=True)
class Urls:
    """Where the servers are, passwords included; None for one that was not wanted."""

    redis_url: str | None
    postgres_url: str | None


class EmbeddedServers:
    """The servers of one METERD_HOME.

    They outlive a daemon that is killed: the next `start` in the same home takes over what
    still runs, and starts what doesn't, with its data. `home` is made if it is not there,
    for its owner alone. The lock is taken in any case, so that one home has one daemon.
    """

    def __init__(self, home: Path, want_redis: bool = True, want_postgres: bool = True) -> None:
        self._home = home.absolute()
        self._lock = HomeLock(self._home)
        self._valkey = ValkeyServer(self._home) if want_redis else None
        self._postgres = PostgresServer(self._home) if want_postgres else None

    def start(self) -> Urls:
        """Start or take over what is wanted, and wait until it answers: a second or two.

        Raises HomeInUseError if another daemon has this home, HomeError if it can't be used, and
        EmbeddedServerError with the end of a server's log; then nothing of ours is left.
        """
        make_home(self._home)
        self._lock.take()
        try:
            return self._start_all()
        except BaseException:
            with suppress(EmbeddedServerError):
                self.stop()
            raise

    def _start_all(self) -> Urls:
        for server in self._wanted():
            server.start()
        return Urls(
            redis_url=self._valkey.url if self._valkey else None,
            postgres_url=self._postgres.url if self._postgres else None,
        )

    def _wanted(self) -> list[ValkeyServer | PostgresServer]:
        return [server for server in (self._valkey, self._postgres) if server is not None]

    def restart_ended(self) -> list[str]:
        """Restart servers that have ended while the daemon runs; returns their names.

        Cheap while they run (one check of each process), so it may be called every second.
        Raises EmbeddedServerError if one doesn't start, or only with another URL.
        """
        ended = [server for server in self._wanted() if not server.is_running()]
        for server in ended:
            url = server.url
            server.start()
            if server.url != url:
                raise EmbeddedServerError(
                    f"{server.name} ended and its port was taken meanwhile: restart meterd"
                )
        return [server.name for server in ended]

    def bound_logs(self) -> None:
        """Keep the servers' logs within their bound; as cheap."""
        for server in self._wanted():
            server.bound_log()

    def stop(self, timeout_ms: int = _STOP_TIMEOUT_MS) -> None:
        """Shut the servers down, data written, and free the home; may be repeated.

        `timeout_ms` is for each. Raises EmbeddedServerError naming what still runs.
        """
        problems = [problem for server in self._wanted() if (problem := _stop(server, timeout_ms))]
        self._lock.free()
        if problems:
            raise EmbeddedServerError("\n".join(problems))


def _stop(server: ValkeyServer | PostgresServer, timeout_ms: int) -> str | None:
    try:
        server.stop(timeout_ms)
    except EmbeddedServerError as error:
        return str(error)
    return None
