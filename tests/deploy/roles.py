"""Servers with the users of ``deploy/redis-users.acl``, whose passwords the tests make up."""

import contextlib
import hashlib
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import redis

from persistence.redis.client import connect
from persistence.redis.functions import load_functions
from tests.servers import server_in

ROOT: Final = Path(__file__).resolve().parents[2]
USERS_TEXT: Final = (ROOT / "deploy" / "redis-users.acl").read_text("utf-8")

ADMIN: Final = "admin"
DAEMON: Final = "meterd-daemon"
BACKEND: Final = "meterd-backend"
GATEWAY: Final = "meterd-gateway"
OPERATOR: Final = "meterd-operator"
RECOVERY: Final = "meterd-recovery"
ROLES: Final = (DAEMON, BACKEND, GATEWAY, OPERATOR, RECOVERY)

_PLACEHOLDER: Final = re.compile(r"#sha256-of-the-password-of-(\S+)")


class Guarded(NamedTuple):
    """A server that asks everybody who they are."""

    address: str
    """Scheme aside: host, port, database and options."""
    scheme: str
    passwords: dict[str, str]

    def url(self, user: str) -> str:
        """Where a user connects."""
        return f"{self.scheme}://{user}:{self.passwords[user]}@{self.address}"

    def client(self, user: str) -> redis.Redis:
        """A client as one of the users."""
        return connect(self.url(user))


def filled(text: str) -> tuple[str, dict[str, str]]:
    """The file with passwords in the place of its placeholders, and the passwords."""
    passwords = {user: secrets.token_urlsafe(24) for user in _PLACEHOLDER.findall(text)}

    def hashed(found: re.Match[str]) -> str:
        return "#" + hashlib.sha256(passwords[found[1]].encode()).hexdigest()

    return _PLACEHOLDER.sub(hashed, text), passwords


@contextlib.contextmanager
def guarded_server(kind: str, *options: str, users_text: str = USERS_TEXT) -> Iterator[Guarded]:
    """A running server with the users; gone afterwards."""
    with _folder(kind) as folder:
        text, passwords = filled(users_text)
        users = folder / "users.acl"
        users.write_text(text)
        with server_in(folder, kind, "--aclfile", str(users), *options) as url:
            yield Guarded(url.partition("://")[2], "redis", passwords)


@contextlib.contextmanager
def _folder(kind: str) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=f"meterd-users-{kind}-", dir="/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def load_as_daemon(server: Guarded) -> None:
    """As a daemon does at its start."""
    with server.client(DAEMON) as client:
        load_functions(client)
