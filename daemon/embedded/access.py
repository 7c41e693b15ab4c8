"""Where the embedded servers listen and their passwords, kept in METERD_HOME/servers.json.

The ports stay the same from run to run, so that URLs do. On a shared machine everybody
can reach loopback ports: hence a password, in a file for the owner alone.
"""

import hashlib
import json
import random
import secrets
import socket
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from daemon.embedded.errors import EmbeddedServerError, HomeError
from daemon.embedded.home import write_private

__all__ = ["HOST", "Access", "AccessFile", "free_port"]

HOST = "127.0.0.1"
# Below the ports that outgoing connections get: those may be taken whenever a server is down.
_PORTS = range(20_000, 30_000)


@dataclass(frozen=True)
class Access:
    """One server's TCP port on 127.0.0.1 and its password."""

    port: int
    password: str


class AccessFile:
    """What is remembered of each server, by name."""

    def __init__(self, home: Path) -> None:
        self._path = home / "servers.json"

    def get(self, name: str) -> Access | None:
        """Give what is remembered of a server. Raises HomeError if the file is damaged."""
        try:
            known = self._all().get(name)
            return Access(int(known["port"]), str(known["password"])) if known else None
        except (ValueError, TypeError, AttributeError, KeyError):
            raise HomeError(f"{self._path} is damaged: bring it back from a backup") from None

    def put(self, name: str, access: Access) -> None:
        """Remember a server."""
        everything = {**self._all(), name: asdict(access)}
        write_private(self._path, json.dumps(everything, indent=2) + "\n")

    def _all(self) -> dict[str, dict[str, str | int]]:
        if not self._path.exists():
            return {}
        content: dict[str, dict[str, str | int]] = json.loads(self._path.read_text())
        return content

    def prepare(self, name: str, *, is_port_refused: bool = False) -> Access:
        """Give the remembered port if it is free, else a free one, which is remembered."""
        known = self.get(name)
        if known and not is_port_refused and _is_free(known.port):
            return known
        password = known.password if known else secrets.token_hex(24)
        refused = known.port if known and is_port_refused else None
        access = Access(free_port(f"{self._path}:{name}", refused), password)
        self.put(name, access)
        return access


def free_port(purpose: str, refused: int | None = None) -> int:
    """Find a free port; for the same purpose the same one, as long as it is free."""
    for port in _candidates(purpose):
        if port != refused and _is_free(port):
            return port
    raise EmbeddedServerError("no port from 20000 to 29999 is free on 127.0.0.1: free some")


def _candidates(purpose: str) -> Iterator[int]:
    seed = hashlib.sha256(purpose.encode(errors="surrogateescape")).digest()
    yield from random.Random(seed).sample(_PORTS, len(_PORTS))  # noqa: S311 - no secret


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # Old connections that are only waiting to be forgotten don't count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
