"""A server that speaks TLS and wants certificates of its clients, besides names and passwords."""

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from loadtests.common.timeouts import scaled
from tests.deploy.certificates import Authority, Pair
from tests.deploy.roles import Guarded, guarded_server
from tests.servers import binary, free_port


class Secure(NamedTuple):
    """The server, and what was signed for it."""

    server: Guarded
    authority: Authority
    mine: Pair
    """A client's certificate."""
    place: str
    """Host, port and database, without options."""

    def query(self) -> str:
        """The options with which a URL reaches it."""
        files = f"ssl_certfile={self.mine.certificate}&ssl_keyfile={self.mine.key}"
        return f"ssl_ca_certs={self.authority.certificate}&{files}"


def has_tls(kind: str) -> bool:
    """Whether the server was built with TLS: then it misses its certificate, else the option."""
    program = binary(kind)
    assert program is not None, f"{kind} is not installed"
    tried = subprocess.run(
        [program, "--port", "0", "--tls-port", str(free_port())],
        capture_output=True, text=True, timeout=scaled(10), check=False, cwd=tempfile.gettempdir(),
    )  # fmt: skip
    return "tls-cert-file" in tried.stdout


@contextlib.contextmanager
def secure_server(kind: str) -> Iterator[Secure]:
    """A running server; its plain port is there to see when it is up."""
    with tempfile.TemporaryDirectory(prefix="meterd-tls-", dir="/tmp") as name:
        folder = Path(name)
        authority = Authority(folder)
        own, mine, port = authority.pair("server"), authority.pair("client"), free_port()
        options = {
            "tls-port": str(port),
            "tls-cert-file": str(own.certificate),
            "tls-key-file": str(own.key),
            "tls-ca-cert-file": str(authority.certificate),
            "tls-auth-clients": "yes",
        }
        flat = [part for option, value in options.items() for part in (f"--{option}", value)]
        with guarded_server(kind, *flat) as plain:
            secure = Secure(plain, authority, mine, f"127.0.0.1:{port}/0")
            address = f"{secure.place}?{secure.query()}"
            yield secure._replace(server=plain._replace(address=address, scheme="rediss"))
