"""What a kill, a copied data folder and a power failure take away at most, and that it is noticed.

A power failure is simulated on the append-only file: the server is killed, and the file cut to what
is on the disk in the worst case. With ``always`` that is all of it, since a reply is sent after the
sync; with ``everysec`` what was there two seconds before (a sync a second, which may take as long
again before anybody waits for it); with ``no`` nothing, since only the kernel decides when.
"""

import asyncio
import contextlib
import os
import random
import shutil
import signal
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
import redis
from sqlalchemy import Engine

from actors.supervisor.supervisor import Supervisor, SupervisorConfig
from daemon.recovery.rebuild import Recovery
from loadtests.common.timeouts import scaled
from meterd.rules.commands import entry_ms
from meterd.rules.model import Policy
from persistence.postgres import reader
from persistence.redis.client import connect
from persistence.redis.commit import Limits
from tests.engine.harness import KEYS, idle, running
from tests.engine.play import differences, until, until_state
from tests.load import Load, Sender
from tests.servers import kinds, kinds_apart, server_in

pytestmark = [pytest.mark.slow, pytest.mark.redis, pytest.mark.postgres, pytest.mark.timeout(300)]

SETTINGS = SupervisorConfig(actors_max=2, batch_max=50, stop_timeout_ms=1_000)
DAY_MS: Final = 86_400_000
EVERYSEC_MS: Final = 2_000
"""A sync a second that takes as long again, while nothing that is written waits for it."""


def _options(fsync: str) -> tuple[str, ...]:
    return "--appendonly", "yes", "--appendfsync", fsync, "--aof-load-truncated", "yes"


class Sending:
    """A backend in a thread of its own, until Redis is gone."""

    def __init__(self, url: str, name: str) -> None:
        self._client = connect(url)
        self._sender = Sender(self._client, Load(6, 3, seed=7, name=name))
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    def taken(self) -> list[str]:
        """The entries that Redis has confirmed, once it is gone or ``stop`` was called."""
        self._thread.join(timeout=scaled(30))
        assert not self._thread.is_alive()
        return [entry for entry, _ in self._sender.log]

    def stop(self) -> list[str]:
        """Send nothing more; gives what was confirmed."""
        self._stopping.set()
        return self.taken()

    def _send(self) -> None:
        with contextlib.suppress(redis.RedisError), contextlib.closing(self._client):
            self._sender.begin()
            while not self._stopping.is_set():
                self._sender.send_for(0.2, 250)


class Lengths:
    """How long the append-only file was, at any moment."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: list[tuple[float, int]] = []
        self._ending = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def end(self) -> None:
        """Look no more."""
        self._ending.set()

    def before(self, seconds: float) -> int:
        """The length so long ago, at the latest."""
        limit = time.monotonic() - seconds
        return max((length for at, length in self._seen if at <= limit), default=0)

    def _watch(self) -> None:
        while not self._ending.wait(0.01):
            self._seen.append((time.monotonic(), _aof(self._folder).stat().st_size))


def _aof(folder: Path) -> Path:
    """The file that commands are appended to."""
    return max((folder / "appendonlydir").glob("*.incr.aof"), key=lambda file: file.stat().st_mtime)


def _now_ms(client: redis.Redis) -> int:
    seconds, micros = client.time()
    return int(seconds) * 1_000 + int(micros) // 1_000


def _kill(client: redis.Redis) -> None:
    info: Any = client.info("server")
    os.kill(info["process_id"], signal.SIGKILL)


def _journaled(engine: Engine) -> set[str]:
    with engine.connect() as connection:
        return {row.stream_id for row in reader.journal_since(connection, 0)}


async def _recovered(client: redis.Redis, engine: Engine, supervisor: Supervisor) -> None:
    """The daemon says that state was lost; after ``meterd recover`` it goes on by itself."""
    assert "meterd recover" in await until_state(supervisor, "lost")
    recovery = Recovery(engine, client, KEYS, DAY_MS, Limits())
    await asyncio.to_thread(recovery.run, "ann", lambda _accounts: None)
    await until_state(supervisor, "ready")


async def _settled(client: redis.Redis, engine: Engine, url: str) -> None:
    """All is handled and stored, and the audit finds nothing."""
    await idle(url)
    await until(lambda: not client.xlen(KEYS.outbox))
    assert await asyncio.to_thread(differences, client, engine) == []


@contextlib.asynccontextmanager
async def _working(
    folder: Path, kind: str, engine: Engine, fsync: str = "everysec"
) -> AsyncIterator[tuple[str, redis.Redis, Supervisor]]:
    """A server with its data in the folder, and a daemon on it; both may end before the end."""
    with (
        server_in(folder, kind, *_options(fsync)) as url,
        contextlib.closing(connect(url)) as client,
    ):
        async with running(url, engine, Policy(), SETTINGS) as supervisor:
            yield url, client, supervisor


@pytest.mark.parametrize("kind", kinds_apart())
def test_a_kill_during_a_rewrite_loses_nothing(kind: str, engine: Engine, tmp_path: Path) -> None:
    """SIGKILL at any moment of ``BGREWRITEAOF``, under load: what was confirmed is handled."""
    seed = int.from_bytes(os.urandom(4))
    print(f"seed {seed}")
    draw, taken = random.Random(seed), set[str]()

    async def play(round_: int) -> bool:
        async with _working(tmp_path, kind, engine) as (url, client, supervisor):
            await until_state(supervisor, "ready")
            assert taken <= await _handled(client, engine, url)
            client.config_set("rdb-key-save-delay", 2_000)  # µs: the rewrite takes a while
            sending = Sending(url, f"r{round_}-")
            await asyncio.sleep(0.5)
            client.bgrewriteaof()
            await asyncio.sleep(draw.uniform(0, 2))
            info: Any = client.info("persistence")
            _kill(client)
            taken.update(await asyncio.to_thread(sending.taken))
            return bool(info["aof_rewrite_in_progress"])

    cut_short = [asyncio.run(play(round_)) for round_ in range(5)]
    assert any(cut_short), "no rewrite was cut short"

    async def end() -> None:
        async with _working(tmp_path, kind, engine) as (url, client, supervisor):
            await until_state(supervisor, "ready")
            assert taken <= await _handled(client, engine, url)
            await _settled(client, engine, url)

    asyncio.run(end())
    assert len(taken) > 500


async def _handled(client: redis.Redis, engine: Engine, url: str) -> set[str]:
    await idle(url)
    await until(lambda: not client.xlen(KEYS.outbox))
    return _journaled(engine)


@pytest.mark.parametrize("kind", kinds_apart())
@pytest.mark.parametrize("is_rewriting", [False, True], ids=["", "during-a-rewrite"])
def test_an_old_copy_of_the_data_folder_is_noticed(
    kind: str, is_rewriting: bool, engine: Engine, tmp_path: Path
) -> None:
    """Copied file by file while the server runs, and put back later: no server, or state lost."""
    data, copy = tmp_path / "data", tmp_path / "copy"
    data.mkdir()

    async def before() -> list[str]:
        async with _working(data, kind, engine) as (url, client, supervisor):
            await until_state(supervisor, "ready")
            sending = Sending(url, "a-")
            await asyncio.sleep(1)
            if is_rewriting:
                client.config_set("rdb-key-save-delay", 500)
                client.bgrewriteaof()
            await asyncio.to_thread(_copied, data, copy)
            await asyncio.sleep(1)
            taken = await asyncio.to_thread(sending.stop)
            await _settled(client, engine, url)
            return taken

    taken = asyncio.run(before())

    async def after() -> None:
        async with _working(copy, kind, engine) as (url, client, supervisor):
            await _recovered(client, engine, supervisor)
            sending = Sending(url, "b-")
            await asyncio.sleep(0.5)
            more = await asyncio.to_thread(sending.stop)
            await _settled(client, engine, url)
            assert {*taken, *more} <= _journaled(engine), "Postgres had all of it"

    if _starts(copy, kind):
        asyncio.run(after())
    else:
        assert is_rewriting, "only a copy without one of its files is taken by no server"


def _starts(folder: Path, kind: str) -> bool:
    with contextlib.suppress(AssertionError), server_in(folder, kind, *_options("everysec")):
        return True
    return False


def _copied(data: Path, copy: Path) -> None:
    """What ``cp -r`` makes of a folder in which files come and go."""
    with contextlib.suppress(shutil.Error):
        shutil.copytree(data, copy)


class Loss(NamedTuple):
    """What a power failure took."""

    of_redis: int
    """Commands that were confirmed to who sent them, and that Redis has forgotten."""
    ms: int
    """How long before the failure the first of them was sent."""
    in_the_end: int
    """Those of them that Postgres did not know either: after the recovery they are gone."""
    is_noticed: bool
    """Whether the daemon said that state was lost."""


@pytest.mark.parametrize("kind", kinds())
@pytest.mark.parametrize("fsync", ["always", "everysec", "no"])
def test_a_power_failure_takes_what_was_not_synced(
    kind: str, fsync: str, engine: Engine, tmp_path: Path
) -> None:
    """``always``: nothing that was confirmed; ``everysec``: two seconds of it; ``no``: all of it.

    Of that, what Postgres knew is there after ``meterd recover``; the daemon bills nothing before.
    """
    loss = asyncio.run(_power_fails(kind, fsync, engine, tmp_path))
    print(f"{kind} {fsync}: {loss}")
    if fsync == "always":
        assert (loss.of_redis, loss.in_the_end, loss.is_noticed) == (0, 0, False)
    else:
        assert loss.is_noticed
        assert 0 <= loss.in_the_end < loss.of_redis
    if fsync == "everysec":
        assert 1_000 < loss.ms <= EVERYSEC_MS + 100  # the length is looked at now and then


async def _power_fails(kind: str, fsync: str, engine: Engine, folder: Path) -> Loss:
    async with _working(folder, kind, engine, fsync) as (url, client, supervisor):
        await until_state(supervisor, "ready")
        lengths = Lengths(folder)
        sending = Sending(url, "a-")
        await asyncio.sleep(4)
        failed_ms, length = _now_ms(client), lengths.before(EVERYSEC_MS / 1_000)
        _kill(client)
        lengths.end()
        taken = await asyncio.to_thread(sending.taken)
    on_disk = {"always": _aof(folder).stat().st_size, "everysec": length, "no": 0}
    with _aof(folder).open("r+b") as file:
        file.truncate(on_disk[fsync])
    known = _journaled(engine)
    async with _working(folder, kind, engine, fsync) as (url, client, supervisor):
        left = {entry.decode() for entry, _ in client.xrange(KEYS.commands)}  # type: ignore[union-attr]
        await until(lambda: supervisor.status()["state"] in ("ready", "lost"))
        is_noticed = supervisor.status()["state"] == "lost"
        if is_noticed:
            await _recovered(client, engine, supervisor)
        await _settled(client, engine, url)
    there = _journaled(engine)
    assert known <= there
    forgotten = set(taken) - left
    first_ms = min(map(entry_ms, forgotten), default=failed_ms)
    return Loss(len(forgotten), failed_ms - first_ms, len(forgotten - there), is_noticed)
