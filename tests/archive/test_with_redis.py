"""A daemon goes on, an audit compares Redis, and a recovery rebuilds it, from an archive on."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import redis
from sqlalchemy import Engine, text

from actors.chat.rows import record_row
from actors.supervisor.supervisor import Supervisor, SupervisorConfig
from daemon.archive.files import read_manifest
from daemon.audit.differences import Difference, Findings
from daemon.audit.run import Audit, Scope
from daemon.recovery.rebuild import Recovery
from meterd.rules.model import Policy
from meterd.rules.partitions import Partition
from meterd.rules.redis_keys import Keys
from persistence.postgres import partitions, reader
from persistence.postgres.layout import write_partitions
from persistence.redis.client import connect
from persistence.redis.commit import Limits
from persistence.redis.snapshot_scan import SnapshotScan
from tests.archive.conftest import archive, verified
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


ALL = tuple(Partition(number, 4) for number in range(4))


def test_each_partition_goes_on_from_an_archive(engine: Engine, tmp_path: Path) -> None:
    """Of four partitions whose last entries are far apart, one has none: all begin again as whole.

    Then Redis is lost; each is rebuilt from the archive on, and goes on.
    """
    with engine.begin() as connection:
        names = [one.name for one in partitions.partitions(connection)]
        partitions.drop_partitions(connection, names)
        write_partitions(connection, len(ALL))

    async def play(url: str, client: redis.Redis) -> None:
        async with _all_running(url, engine):
            for partition in ALL[:3]:
                _send(client, partition, "start", "open", "start", "ended", "end", "ended")
                await _idle(url)
            cut_ms = await asyncio.to_thread(_cut_here, engine)
            folder = await asyncio.to_thread(archive, engine, tmp_path, cut_ms)
            assert verified(folder) == []
            last = read_manifest(folder)[0].last_entries
            assert len(set(last.values())) == len(last) == 3
        async with _all_running(url, engine) as supervisors:
            for supervisor in supervisors:
                await until_state(supervisor, "ready")
        client.flushall()
        async with _all_running(url, engine) as supervisors:
            for partition, supervisor in zip(ALL[:3], supervisors, strict=False):
                await until_state(supervisor, "lost")
                await asyncio.to_thread(_rebuild, engine, client, partition)
            for supervisor in supervisors:
                await until_state(supervisor, "ready")
            for partition in ALL:
                _send(client, partition, "pause", "open", "end", "open", "start", "new")
            await _idle(url)

    with redis_server() as url, contextlib.closing(connect(url)) as client:
        asyncio.run(play(url, client))
        for partition in ALL:
            found: list[Difference] = []
            scan = SnapshotScan(client, Keys(partition.number))
            Audit(engine, scan, Findings(found.append), partition=partition).run(Scope())
            assert found == []
    with engine.connect() as connection:
        chats = [f"{_user(partition)}.{name}" for partition in ALL for name in ("open", "new")]
        records = reader.fetch_records(connection, chats)
    assert {k: row.status for k, row in records.items()} == {
        chat: "ended" if chat.endswith("open") else "running"
        for chat in chats
        if chat != f"{_user(ALL[3])}.open"
    }


@contextlib.asynccontextmanager
async def _all_running(url: str, engine: Engine) -> AsyncIterator[list[Supervisor]]:
    async with contextlib.AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                running(url, engine, Policy(), SETTINGS, partition=partition)
            )
            for partition in ALL
        ]


async def _idle(url: str) -> None:
    for partition in ALL:
        await idle(url, keys=Keys(partition.number))


def _user(partition: Partition) -> str:
    return next(filter(partition.has, (f"user-{number}" for number in itertools.count())))


def _send(client: redis.Redis, partition: Partition, *words: str) -> None:
    """Credits for the partition's user, then commands: pairs of a type and a chat."""
    user = _user(partition)
    who = {"user_id": user}
    commands = [{"type": "top_up", "amount": "100", **who}]
    for type_, chat in zip(words[::2], words[1::2], strict=True):
        tariff = {"advisor_id": "v", "rate": "6"} if type_ == "start" else {}
        commands.append({"type": type_, "chat_id": f"{user}.{chat}", **who, **tariff})
    for fields in commands:
        sent: Any = {"id": f"i{next(_IDS)}", **fields}
        client.xadd(Keys(partition.number).commands, sent)


_IDS = itertools.count()


def _rebuild(engine: Engine, client: redis.Redis, partition: Partition) -> None:
    keys = Keys(partition.number)
    recovery = Recovery(engine, client, keys, 86_400_000, Limits(), partitions=len(ALL))
    report = recovery.run("ann", lambda _accounts: None)
    assert (report.accounts, report.open_chats, report.unfolded) == (1, 1, [])
