"""The files of a running daemon in METERD_HOME, by which other commands find its servers."""

import contextlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from meterd.redis_servers import RedisServers


class Addresses(NamedTuple):
    """Where the servers are, passwords included."""

    redis_url: str
    """The first one, or the only one."""
    postgres_url: str
    http_url: str = ""
    """Empty if this daemon has no gateway."""
    redis_urls: Sequence[str] = ()
    """All of them, where there are several."""

    @classmethod
    def of(cls, redis_urls: Sequence[str], postgres_url: str, http_url: str = "") -> "Addresses":
        """With as many servers of the queue as there are URLs, in their order."""
        several = redis_urls if len(redis_urls) > 1 else ()
        return cls(redis_urls[0], postgres_url, http_url, tuple(several))

    @property
    def redis(self) -> RedisServers:
        """Which server has which partition."""
        return RedisServers(self.redis_urls or self.redis_url)


class RunningDaemon(NamedTuple):
    """A daemon that runs, and what a command need not read its settings for."""

    addresses: Addresses
    environment: str


class RunFile:
    """``run.json``: readable by its owner alone, since the URLs hold passwords."""

    def __init__(self, home: Path) -> None:
        """The run file of one METERD_HOME."""
        self._path = home / "run.json"
        self._state_path = home / "state.json"
        self._noted, self._noted_ms = "", 0

    @contextlib.contextmanager
    def held(
        self,
        addresses: Addresses,
        jwt_secret: str = "",
        settings: str = "",
        environment: str = "",
    ) -> Iterator[None]:
        """The file is there while the daemon runs; after a kill it stays.

        Args:
            addresses: its servers.
            jwt_secret: what its gateway checks tokens with; empty if it does not use a secret.
            settings: the fingerprint of its settings.
            environment: what people call the deployment.
        """
        # Commands that only read the file need not import the servers' packages.
        from daemon.embedded.home import write_private  # noqa: PLC0415

        self._state_path.unlink(missing_ok=True)  # of a daemon that was killed
        document = {"pid": os.getpid(), **addresses._asdict(), "jwt_secret": jwt_secret}
        document |= {"settings": settings, "environment": environment}
        write_private(self._path, json.dumps(document))
        try:
            yield
        finally:
            self._path.unlink(missing_ok=True)
            self._state_path.unlink(missing_ok=True)

    def note(self, state: str, why: str) -> None:
        """Leave the daemon's state, for when Redis does not have it."""
        from daemon.embedded.home import write_private  # noqa: PLC0415 - as above

        if state != self._noted:
            self._noted, self._noted_ms = state, int(time.time() * 1_000)
        document = {"state": state, "why": why, "state_since": self._noted_ms}
        write_private(self._state_path, json.dumps(document))

    def state(self) -> tuple[str, str]:
        """The last state of the daemon that runs here, and why; empty without one."""
        try:
            found = json.loads(self._state_path.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return "", ""
        return found["state"], found["why"]

    def state_since(self) -> int | None:
        """Since when, in milliseconds of this machine's clock; None without a state."""
        with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):
            return int(json.loads(self._state_path.read_text()).get("state_since", 0)) or None
        return None

    def read(self) -> Addresses | None:
        """The addresses of the daemon that runs or ran here last; None if there is no file."""
        try:
            found = json.loads(self._path.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        return _read(found)

    def read_running(self, settings: str) -> RunningDaemon | None:
        """The daemon that runs here with settings of this fingerprint; None if there is none."""
        with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):
            found = json.loads(self._path.read_text())
            if settings and found.get("settings") == settings and not self.is_stale():
                return RunningDaemon(_read(found), found["environment"])
        return None

    def jwt_secret(self) -> str | None:
        """The secret of the daemon that wrote the file; None if there is no file."""
        with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):
            return str(json.loads(self._path.read_text()).get("jwt_secret", ""))
        return None

    def pid(self) -> int | None:
        """The process of the daemon that wrote the file."""
        with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):
            return int(json.loads(self._path.read_text())["pid"])
        return None

    def is_stale(self) -> bool:
        """Whether the daemon that wrote the file has ended without taking it away."""
        try:
            pid = int(json.loads(self._path.read_text())["pid"])
        except (FileNotFoundError, json.JSONDecodeError):
            return False
        return not Path(f"/proc/{pid}").exists()


def _read(found: Mapping[str, Any]) -> Addresses:
    """The addresses in a file, as far as it has them: an older daemon may have written it."""
    redis_url, postgres_url, http_url = (
        str(found.get(name, "")) for name in ("redis_url", "postgres_url", "http_url")
    )
    return Addresses(redis_url, postgres_url, http_url, tuple(found.get("redis_urls", ())))
