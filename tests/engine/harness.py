"""Runs the real supervisor, chat workers and recorder in this process, against real servers."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Engine

from actors.chat.commit_builder import CommitContext
from actors.chat.timer_service import SettleSender, TimerService
from actors.chat.worker import ChatWorker
from actors.messages import ActorInfo, pack_result, unpack_tasks
from actors.recorder import Recorder, RecorderConfig
from actors.supervisor.closed_chats import ClosedChats
from actors.supervisor.starts import Starts
from actors.supervisor.supervisor import Supervisor, SupervisorConfig, SupervisorDependencies
from loadtests.common.timeouts import scaled
from meterd.redis_servers import ByServer, RedisServers
from meterd.rules.model import Policy
from meterd.rules.partitions import ONLY, Partition
from meterd.rules.redis_keys import Keys
from persistence.postgres.recorder_state import RecorderClaim
from persistence.redis.chat_directory import ChatDirectory
from persistence.redis.client import connect, connect_async
from persistence.redis.command_stream import CommandStream
from persistence.redis.commit import Limits, policy_document
from persistence.redis.functions import load_functions
from persistence.redis.integrity import IntegrityCheck
from persistence.redis.outbox import Outbox

T = TypeVar("T")

KEYS = Keys()
BLOCK_MS = 50
"""Who has nothing to read hears of its stop after so long: a second more for each test else."""
POLICY_ID = "test"


class ThreadProcess:
    """A chat actor in a thread of this process: one call at a time, in order."""

    def __init__(self, url: str, name: str, epoch: str, policy: Policy, keys: Keys = KEYS) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=name)
        self.timekeeper = TimerService(SettleSender(connect(url), keys, name, epoch).send_settle)
        writer = CommitContext(name, epoch, policy, POLICY_ID, Limits(), keys.partition)
        self.worker = ChatWorker(connect(url), keys, writer, self.timekeeper)
        self.timekeeper.start()
        self.killed = False

    async def info(self) -> ActorInfo:
        return ActorInfo(os.getpid(), "here")

    async def assign(self, chats: Mapping[str, str]) -> None:
        await self._call(lambda: self.worker.assign(dict(chats)))

    async def track_timer(self, users: list[str]) -> None:
        await self._call(lambda: self.worker.track_timer(users))

    async def unassign(self, chats: list[str]) -> None:
        await self._call(lambda: self.worker.unassign(chats))

    def handle(self, batch: bytes) -> Awaitable[bytes]:
        return self._call(lambda: pack_result(self.worker.handle(*unpack_tasks(batch))))

    def local_pid(self) -> int | None:
        return os.getpid()

    async def check(self) -> None:
        if self.killed:
            raise ProcessLookupError("it was killed")

    def kill(self) -> None:
        self.killed = True
        self.timekeeper.stop()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _call(self, act: Callable[[], T]) -> Awaitable[T]:
        return asyncio.get_running_loop().run_in_executor(self._pool, act)


class ThreadRecorder:
    """A recorder in a thread of this process."""

    def __init__(
        self, url: str, engine: Engine, policy: Policy, keys: Keys, memory_id: str, epoch: str
    ) -> None:
        self.recorder = Recorder(
            Outbox(connect(url), keys, 86_400_000, "recorder", epoch),
            engine,
            RecorderClaim(keys.partition, memory_id, int(epoch)),
            (POLICY_ID, policy_document(policy)),
            RecorderConfig(),
        )

    async def run(self) -> str:
        return await asyncio.to_thread(self.recorder.run)

    async def status(self) -> dict[str, Any]:
        return {"written": self.recorder.written, "trouble": self.recorder.trouble}

    async def stop(self) -> None:
        self.recorder.stop()

    def local_pid(self) -> int | None:
        return os.getpid()

    def kill(self) -> None:
        self.recorder.stop()


@contextlib.asynccontextmanager
async def running(
    url: str,
    engine: Engine,
    policy: Policy,
    settings: SupervisorConfig | None = None,
    process: type[ThreadProcess] = ThreadProcess,
    partition: Partition = ONLY,
    starts: Starts | None = None,
) -> AsyncIterator[Supervisor]:
    """A working daemon without Ray; ends in order, everything committed being in Postgres."""
    _load_library(url)
    keys = Keys(partition.number)
    async_client = connect_async(url)
    clients = ByServer(RedisServers(url), lambda _url: async_client)
    config = settings or SupervisorConfig()
    token = os.urandom(8).hex()
    queue = CommandStream(async_client, keys, token, config.step_ms_max, partition.partitions)
    parts = SupervisorDependencies(
        async_client,
        keys,
        queue,
        ClosedChats(async_client, keys, engine),
        IntegrityCheck(async_client, keys, engine),
        partial(_spawn, process, url, policy, keys),
        partial(_spawn_recorder, url, engine, policy, keys),
        partial(_load_library, url),
        _none_is_warm,
        directory=ChatDirectory(clients, partition, 86_400_000)
        if partition.partitions > 1
        else None,
        starts=starts,
    )
    wanted = msgspec.structs.replace(config, block_ms=BLOCK_MS)
    supervisor = Supervisor(parts, wanted)
    work = asyncio.create_task(supervisor.run())
    try:
        yield supervisor
    finally:
        supervisor.stop()
        await asyncio.gather(work, return_exceptions=True)
        await async_client.aclose()
    await work  # raises what went wrong


async def _spawn(
    process: type[ThreadProcess], url: str, policy: Policy, keys: Keys, name: str, epoch: str
) -> ThreadProcess:
    return process(url, name, epoch, policy, keys)


async def _none_is_warm(_name: str, _epoch: str) -> ThreadProcess | None:
    return None


async def _spawn_recorder(
    url: str, engine: Engine, policy: Policy, keys: Keys, memory_id: str, epoch: str
) -> ThreadRecorder:
    return ThreadRecorder(url, engine, policy, keys, memory_id, epoch)


def _load_library(url: str) -> None:
    with contextlib.closing(connect(url)) as client:
        load_functions(client)


async def idle(url: str, timeout_s: float = 30, keys: Keys = KEYS) -> None:
    """Wait until every entry of the queue was handled."""
    client = connect_async(url)
    try:
        async with asyncio.timeout(scaled(timeout_s)):
            while await _backlog(client, keys):
                await asyncio.sleep(0.02)
    finally:
        await client.aclose()


async def _backlog(client: Any, keys: Keys) -> bool:
    groups = await client.xinfo_groups(keys.commands)
    stream = await client.xinfo_stream(keys.commands)
    return not groups or any(
        group["pending"] or group["last-delivered-id"] != stream["last-generated-id"]
        for group in groups
    )
