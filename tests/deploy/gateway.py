"""A gateway in a process of its own, with the rights of a gateway."""

import contextlib
import os
import secrets
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import jwt

from loadtests.common.live import METERD
from loadtests.common.timeouts import scaled
from loadtests.common.watchdog import end_with_us
from tests.servers import free_port


class Gateway:
    """Its routes, asked by whoever one says one is."""

    def __init__(self, url: str, secret: str) -> None:
        """Ask at ``url``; tokens are signed with ``secret``."""
        self._http = httpx.Client(base_url=url, timeout=scaled(10))
        self._secret = secret

    def get(self, path: str, role: str = "ops") -> Any:
        """What a route answers; it must go well."""
        return self._http.get(path, headers=self._as(role)).raise_for_status().json()

    def text(self, path: str) -> str:
        """The same of one that wants no token and speaks no JSON."""
        return self._http.get(path).raise_for_status().text

    def post(self, fields: Mapping[str, str]) -> Any:
        """Send a command for a backend."""
        answer = self._http.post("/v1/commands", json=fields, headers=self._as("backend"))
        return answer.raise_for_status().json()

    def act(self, body: Mapping[str, str]) -> httpx.Response:
        """Do something by hand, as an admin; whatever comes of it."""
        return self._http.post("/v1/operations", json=body, headers=self._as("admin"))

    def first_of_stream(self, path: str) -> str:
        """The first line of a stream."""
        with self._http.stream("GET", path, headers=self._as("ops")) as stream:
            return next(stream.iter_lines())

    def is_up(self) -> bool:
        """Whether somebody answers."""
        with contextlib.suppress(httpx.TransportError):
            return self._http.get("/healthz").status_code == httpx.codes.OK
        return False

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def _as(self, role: str) -> dict[str, str]:
        claims = {"sub": "me", "aud": "meterd", "role": role, "exp": int(time.time()) + 60}
        return {"Authorization": f"Bearer {jwt.encode(claims, self._secret, 'HS256')}"}


@contextlib.contextmanager
def gateway(home: Path, redis_url: str, postgres_url: str, **more: str) -> Iterator[Gateway]:
    """A running gateway, with ``more`` in its environment; gone afterwards."""
    port, secret = free_port(), secrets.token_hex(32)
    plain = {k: v for k, v in os.environ.items() if not k.startswith("METERD_")}
    env = {
        **plain,
        "METERD_HOME": str(home),
        "METERD_REDIS__URL": redis_url,
        "METERD_POSTGRES__URL": postgres_url,
        "METERD_HTTP__PORT": str(port),
        "METERD_HTTP__JWT_SECRET": secret,
        **more,
    }
    process = subprocess.Popen(
        [METERD, "gateway"], env=env, cwd=home.parent, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    end_with_us(process.pid)
    running = Gateway(f"http://127.0.0.1:{port}", secret)
    try:
        deadline = time.monotonic() + scaled(20)
        while not running.is_up():
            assert process.poll() is None, "the gateway has ended"
            assert time.monotonic() < deadline, "the gateway does not answer"
            time.sleep(0.05)
        yield running
    finally:
        running.close()
        process.terminate()
        process.wait(scaled(20))
