"""Whoever asks whether the daemon is up gets one answer: command line, gateway, top."""

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

from daemon.discovery.runfile import Addresses
from daemon.discovery.status import full_status
from daemon.gateway.container import make_dependencies
from daemon.gateway.service import Service
from daemon.settings.settings import RedisSettings, Settings
from persistence.redis.client import connect
from persistence.redis.functions import load_functions
from persistence.redis.versions import VERSION
from tests.persistence.kept import DURABLE, KEYS, lead
from tests.servers import kinds, server_in

READY = {"state": "ready", "why": "", "open_chats": 3, "functions": VERSION}


def _states(url: str, home: Path) -> dict[str, Any]:
    """What the command line and the gateway say."""
    settings = Settings(home=home, redis=RedisSettings(url=url))
    return {"command": full_status(settings)["state"], "gateway": _of_gateway(settings, url)}


def _of_gateway(settings: Settings, url: str) -> str:
    async def ask() -> str:
        parts = make_dependencies(settings, Addresses(url, "postgresql://nobody@127.0.0.1:1/none"))
        try:
            await parts.clock.sample()
            return str((await Service(parts).status())["state"])
        finally:
            await parts.meter.close()
            await parts.clients.aclose()
            parts.postgres_reader.close()

    return asyncio.run(ask())


@pytest.mark.parametrize("kind", kinds())
def test_a_status_from_before_a_restart_of_redis_is_not_ready(kind: str, tmp_path: Path) -> None:
    """Nobody has verified the state since: both say recovering, where the gateway said ready."""
    folder = tmp_path / "redis"
    folder.mkdir()
    with server_in(folder, kind, *DURABLE) as url, contextlib.closing(connect(url)) as client:
        load_functions(client)
        assert _states(url, tmp_path) == {"command": "down", "gateway": "down"}
        lead(client, "daemon")
        client.set(KEYS.status, json.dumps(READY))
        assert _states(url, tmp_path) == {"command": "ready", "gateway": "ready"}
    with server_in(folder, kind, *DURABLE) as url:
        assert _states(url, tmp_path) == {"command": "recovering", "gateway": "recovering"}


@pytest.mark.parametrize("kind", kinds())
def test_without_the_functions_the_last_status_is_all_there_is(kind: str, tmp_path: Path) -> None:
    """They may be missing for a moment: a daemon loads them again."""
    with server_in(tmp_path, kind) as url, contextlib.closing(connect(url)) as client:
        client.set(KEYS.status, json.dumps(READY))
        assert _states(url, tmp_path) == {"command": "ready", "gateway": "ready"}
