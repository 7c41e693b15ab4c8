"""The gateway of the shared daemon, and gateways by themselves."""

import contextlib
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from daemon.gateway.tokens import mint
from loadtests.common.live import METERD, LiveDaemon
from loadtests.common.timeouts import scaled
from loadtests.common.watchdog import end_with_us
from tests.shared_daemon import servers_of

AUDIENCE = "meterd"


class Gateway:
    """A gateway that answers at ``url``, asked on behalf of anybody."""

    def __init__(self, url: str, secret: str) -> None:
        self.url = url
        self.secret = secret
        self.http = httpx.Client(base_url=url, timeout=scaled(20))
        self.stop: Callable[[], None] = lambda: None

    def token(self, sub: str, *roles: str, ttl_s: int = 600) -> str:
        """A token for somebody; without a role, as ``user``."""
        return mint(self.secret, AUDIENCE, sub, list(roles) or ["user"], ttl_s)

    def bearer(self, sub: str, *roles: str) -> dict[str, str]:
        """The header with a token for somebody."""
        return {"Authorization": f"Bearer {self.token(sub, *roles)}"}

    def get(self, path: str, sub: str, *roles: str, **query: Any) -> httpx.Response:
        """GET as somebody."""
        return self.http.get(path, params=query, headers=self.bearer(sub, *roles))

    def read(self, path: str, sub: str, *roles: str, **query: Any) -> Any:
        """What GET answers, which has to be 200."""
        answer = self.get(path, sub, *roles, **query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def ops(self, path: str, **query: Any) -> Any:
        """What GET answers to an operator, which has to be 200."""
        return self.read(path, "an-operator", "ops", **query)

    def post(self, fields: Mapping[str, Any], **headers: str) -> httpx.Response:
        """Send a command as a backend."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        headers = {**self.bearer("a-backend", "backend"), **named}
        return self.http.post("/v1/commands", json=fields, headers=headers)

    def act(self, operation: str, by: str = "an-admin", **fields: Any) -> httpx.Response:
        """Do something by hand, as an admin."""
        body = {"operation": operation, "reason": "for a test", **fields}
        return self.http.post("/v1/operations", json=body, headers=self.bearer(by, "admin"))

    def do(self, type: str, **fields: Any) -> Any:  # noqa: A002 - the contract's name
        """Send a command, which has to be accepted; its reply."""
        answer = self.post({"type": type, **fields})
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture(scope="session")
def gateway(live: LiveDaemon) -> Iterator[Gateway]:
    """The daemon's own gateway."""
    secret = (live.home / "http-secret").read_text().strip()
    gateway = Gateway(live.status()["http_url"], secret)
    with gateway.http:
        yield gateway


SECRET = "a secret of thirty-two bytes or so, for tests"
ANSWERS_AT = "The gateway answers at "


@contextlib.contextmanager
def gateway_alone(
    folder: Path, host: str = "127.0.0.1", port: int = 0, /, **env: str
) -> Iterator[Gateway]:
    """A gateway by itself, as ``meterd gateway`` starts it; needs the URLs of the servers."""
    home = {"METERD_HOME": str(folder), "METERD_HTTP__JWT_SECRET": SECRET, **env}
    process = subprocess.Popen(
        [METERD, "gateway", "--host", host, "--port", str(port)],
        env={**LiveDaemon(folder, home).env, **home},
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
    )
    end_with_us(process.pid)
    try:
        assert process.stdout is not None
        told = process.stdout.readline()
        assert told.startswith(ANSWERS_AT), told
        gateway = Gateway(told.removeprefix(ANSWERS_AT).strip(), SECRET)
        gateway.stop = process.terminate
        with gateway.http:
            yield gateway
    finally:
        process.terminate()
        process.communicate(timeout=scaled(20))


@contextlib.contextmanager
def another(live: LiveDaemon, **env: str) -> Iterator[Gateway]:
    """A gateway by itself on the daemon's servers, with settings of its own."""
    with (
        tempfile.TemporaryDirectory() as folder,
        gateway_alone(Path(folder), **{**servers_of(live), **env}) as gateway,
    ):
        yield gateway


@pytest.fixture(scope="module")
def other(live: LiveDaemon) -> Iterator[Gateway]:
    """A second gateway on the same servers."""
    with another(live) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def small(live: LiveDaemon) -> Iterator[Gateway]:
    """A gateway with small limits."""
    limits = {
        "METERD_HTTP__KEEP_ALIVE_MS": "1000",
        "METERD_HTTP__STREAMS_PER_CALLER_MAX": "2",
        "METERD_HTTP__STREAM_MESSAGES_MAX": "4",
    }
    with another(live, **limits) as gateway:
        yield gateway
