"""Where the daemon is, and the two secrets."""

import json
import os
import secrets
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

_OF_DAEMON = ("REDIS_URL", "GATEWAY_URL", "METERD_HTTP__JWT_SECRET")


class Settings(NamedTuple):
    """What the backend has to know."""

    redis_url: str
    gateway_url: str
    jwt_secret: str
    """The gateway checks tokens with it."""
    webhook_secret: str
    """The payment provider signs with it."""


def read_settings() -> Settings:
    """Read the environment; what is not there comes from the daemon that runs on this machine.

    Raises:
        RuntimeError: a setting is missing, and no daemon runs here.
    """
    environment = os.environ
    daemon = {} if all(map(environment.get, _OF_DAEMON)) else _read_status()
    return Settings(
        redis_url=environment.get("REDIS_URL") or daemon["redis_url"],
        gateway_url=environment.get("GATEWAY_URL") or daemon["http_url"],
        jwt_secret=environment.get("METERD_HTTP__JWT_SECRET") or _read_secret(daemon["home"]),
        # The imitated provider runs in this process, so it has the secret of this run.
        webhook_secret=environment.get("WEBHOOK_SECRET") or secrets.token_hex(),
    )


def _read_status() -> dict[str, Any]:
    meterd = shutil.which("meterd")
    if meterd is None:
        raise RuntimeError("the command meterd is not on the PATH: . .venv/bin/activate")
    done = subprocess.run([meterd, "status", "--json"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"the daemon is not ready, see README.md: {done.stderr.strip()}")
    status: dict[str, Any] = json.loads(done.stdout)
    return status


def _read_secret(home: str) -> str:
    """The secret that a gateway on loopback has made for itself, good enough for development."""
    return (Path(home) / "http-secret").read_text("utf-8").strip()
