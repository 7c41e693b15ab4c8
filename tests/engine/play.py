"""Short plays against a running engine: send by hand, read replies, wait for states."""

import asyncio
from typing import Any

import redis
from sqlalchemy import Engine

from actors.supervisor.supervisor import Supervisor
from daemon.audit.differences import Difference, Findings
from daemon.audit.run import Audit, Scope
from loadtests.common.timeouts import scaled
from persistence.redis.snapshot_scan import SnapshotScan
from tests.engine.harness import KEYS

_IDS = iter(range(10**9))


def send(client: redis.Redis, **fields: str) -> str:
    """Append a command with an id of its own, which asks for its reply; returns its entry."""
    filled: Any = {"id": f"p{next(_IDS)}", "reply_to": "play", **fields}
    added: Any = client.xadd(KEYS.commands, filled)
    return str(added.decode())


def outcomes(client: redis.Redis) -> dict[str, str]:
    """Entry → outcome, of all replies so far; an entry with two replies fails."""
    replies: Any = client.xrange(KEYS.reply("play"))
    found = [(f[b"entry"].decode(), f[b"outcome"].decode()) for _, f in replies]
    assert len(found) == len(dict(found)), "nothing is answered twice"
    return dict(found)


async def until(holds: Any, timeout_s: float = 60) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(scaled(timeout_s)):
        while not holds():
            await asyncio.sleep(0.01)


async def until_state(supervisor: Supervisor, state: str, timeout_s: float = 60) -> str:
    """Wait for a state; returns why it is so."""
    await until(lambda: supervisor.status()["state"] == state, timeout_s)
    return str(supervisor.status()["why"])


def differences(client: redis.Redis, engine: Engine) -> list[Difference]:
    """What an audit finds."""
    found: list[Difference] = []
    Audit(engine, SnapshotScan(client, KEYS), Findings(found.append)).run(Scope())
    return found
