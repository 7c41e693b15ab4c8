"""A daemon goes on, an audit compares Redis, and a recovery rebuilds it, from an archive on."""

import asyncio
import contextlib
import time
from pathlib import Path

import pytest
import redis
from sqlalchemy import Engine, text

from actors.chat.rows import record_row
from actors.supervisor.supervisor import Supervisor, SupervisorConfig
from daemon.archive.files import read_manifest
from daemon.recovery.rebuild import Recovery
from meterd.rules.model import Policy
from persistence.postgres import partitions, reader
from persistence.redis.client import connect
from persistence.redis.commit import Limits
from tests.archive.test_archive import archive, verified
from tests.engine.harness import KEYS, idle, running
from tests.engine.play import differences, until_state
from tests.load import Entry, Load, Sender, fold
from tests.servers import redis_server
from tests.world import World

pytestmark = pytest.mark.redis

SETTINGS = SupervisorConfig(actors_max=2, batch_max=50)


def _cut_here(engine: Engine) -> int:
    """End a partition at the next millisecond: what comes now is not in it."""
    cut_ms = time.time_ns() // 1_000_000 + 2
    while time.time_ns() // 1_000_000 < cut_ms:
        time.sleep(0.001)
    with engine.begin() as connection:
        for alter in (
            "command_journal DETACH PARTITION command_journal_default",
            "command_journal_default RENAME TO command_journal_before",
            f"command_journal ATTACH PARTITION command_journal_before {_up_to(cut_ms)}",
        ):
            connection.execute(text(f"ALTER TABLE {alter}"))
        default = "CREATE TABLE command_journal_default PARTITION OF command_journal DEFAULT"
        connection.execute(text(default))
    return cut_ms


def _up_to(cut_ms: int) -> str:
    return f"FOR VALUES FROM (MINVALUE) TO ('{cut_ms}')"


def test_recovery_and_audit_go_on_from_an_archive(engine: Engine, tmp_path: Path) -> None:
    """Nothing is left in the journal, Redis is lost and rebuilt, and the daemon goes on.

    Records are those of the fold of all that was sent; repeated ids and refused commands too.
    """
    with engine.begin() as connection:
        names = [one.name for one in partitions.partitions(connection)]
        partitions.drop_partitions(connection, names)

    async def play(url: str, client: redis.Redis) -> list[Entry]:
        sender = Sender(client, Load(users=6, chats_per_user=3, seed=7))
        async with running(url, engine, Policy(), SETTINGS):
            await asyncio.to_thread(sender.begin)
            await asyncio.to_thread(sender.send_for, 0.5, 200)
            await idle(url)
            cut_ms = await asyncio.to_thread(_cut_here, engine)
            folder = await asyncio.to_thread(archive, engine, tmp_path, cut_ms)
            assert verified(folder) == []
            assert read_manifest(folder)[0].entries > 100
            assert await asyncio.to_thread(differences, client, engine) == []
        client.flushall()
        async with running(url, engine, Policy(), SETTINGS) as supervisor:
            await _recovered(supervisor, client, engine)
            await asyncio.to_thread(sender.send_for, 0.5, 200)
            await asyncio.to_thread(sender.finish)
            await idle(url)
        return sender.log

    with redis_server() as url, contextlib.closing(connect(url)) as client:
        log = asyncio.run(play(url, client))
        assert differences(client, engine) == []
    world = World(Policy())
    fold(world, log)
    chats = {chat_id: world.chat(chat_id) for chat_id in world.owner}
    with engine.connect() as connection:
        rows = reader.fetch_records(connection, list(chats))
    assert rows == {k: record_row(chat) for k, chat in chats.items() if chat is not None}


async def _recovered(supervisor: Supervisor, client: redis.Redis, engine: Engine) -> None:
    await until_state(supervisor, "lost")
    recovery = Recovery(engine, client, KEYS, 86_400_000, Limits())
    report = await asyncio.to_thread(recovery.run, "ann", lambda _accounts: None)
    assert (report.accounts, report.unfolded) == (6, [])
    await until_state(supervisor, "ready")
