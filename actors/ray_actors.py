"""The Ray actors: thin shells around the plain classes, nothing decided here.

Ray calls are at most once (``max_task_retries=0``): who called repeats what was lost, and the
commit function sees to it that it has one effect.
"""

import asyncio
import contextlib
import os
import platform
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar

import ray
import redis
import redis.asyncio
import structlog

from actors.chat.commit_builder import CommitContext
from actors.chat.timer_service import SettleSender, TimerService
from actors.chat.worker import ChatWorker
from actors.errors import ActorFencedError, HungError
from actors.gc_tuning import tune_gc
from actors.head_monitor import HeadMonitor
from actors.messages import ActorInfo, pack_result, unpack_tasks
from actors.node_choice import NodeChoice
from actors.ray_processes import (
    RayProcess,
    RayRecorder,
    WarmProcesses,
    in_time,
    own_node,
    start_actor,
)
from actors.recorder import IDLE_IN_TRANSACTION_MS, Recorder, RecorderConfig
from actors.supervisor.balance import Turn
from actors.supervisor.closed_chats import ClosedChats
from actors.supervisor.node_balance import NodeBalance
from actors.supervisor.partitions import Made, Supervisors
from actors.supervisor.starts import Starts
from actors.supervisor.supervisor import (
    WARM_MAX,
    Supervisor,
    SupervisorConfig,
    SupervisorDependencies,
)
from actors.supervisor.tasks import end_tasks
from meterd.redis_servers import RedisServers
from meterd.rules.model import Policy
from meterd.rules.partitions import Partition
from meterd.rules.redis_keys import Keys
from persistence.postgres.engine import make_engine
from persistence.postgres.recorder_state import RecorderClaim
from persistence.redis.chat_directory import CLAIM_TIMEOUT_S, ChatDirectory
from persistence.redis.client import AsyncRedisClients, connect, connect_async
from persistence.redis.command_stream import CommandStream
from persistence.redis.commit import Limits, policy_document
from persistence.redis.functions import load_functions
from persistence.redis.integrity import IntegrityCheck
from persistence.redis.nodes import NodeRegistry
from persistence.redis.outbox import Outbox
from persistence.redis.versions import VERSION

T = TypeVar("T")

log = structlog.get_logger()

RECORDER: Final = "recorder"

BEHIND_NICE: Final = 10
"""Commands come first: somebody waits for their replies, and the outbox is safe."""

RAY_CALLS_MAX: Final = 4
"""Calls that may wait for Ray's head at once."""

NODES_S_MAX: Final = 2.0
"""How long Ray's head may take to say which nodes there are."""

STUCK_MS: Final = 3_000
"""A transaction that takes longer is reported in the status."""


class ActorConfig(NamedTuple):
    """The configuration of every actor."""

    redis_servers: RedisServers
    postgres_url: str
    partitions: int
    policy: Policy
    policy_id: str
    limits: Limits
    ended_ttl_ms: int
    socket_timeout_s: float
    connect_timeout_s: float
    pool_size: int
    is_joined: bool
    """Whether the Ray cluster is one that others have started."""
    is_spread: bool
    """Whether chat actors are spread over the nodes of the cluster; else all are on one."""
    recorder: RecorderConfig
    set_up: Callable[[str], None]
    """Called first in the actor's process, with its name: logging."""

    def redis_async(self, partition: int) -> redis.asyncio.Redis:
        """A client of one's own for asyncio, of the server that has a partition."""
        url = self.redis_servers.url_of(partition)
        return connect_async(url, self.socket_timeout_s, self.connect_timeout_s)

    def redis(self, partition: int) -> redis.Redis:
        """The same for threads."""
        url = self.redis_servers.url_of(partition)
        return connect(url, self.socket_timeout_s, self.connect_timeout_s)


def _actor_info() -> ActorInfo:
    return ActorInfo(os.getpid(), own_node())


@ray.remote(num_cpus=0, max_restarts=0, max_task_retries=0)
class ChatActor:
    """One chat's timer and accrual (and more chats' beyond ``actors.max``)."""

    def __init__(self, config: ActorConfig) -> None:
        self._config = config

    def begin(self, name: str, epoch: str, partition: int) -> None:
        """Take a name and the right to write under it; until then it is nobody."""
        config, keys = self._config, Keys(partition)
        config.set_up(name)
        structlog.contextvars.bind_contextvars(actor=name, epoch=epoch)
        asker = SettleSender(config.redis(partition), keys, name, epoch)
        self._timekeeper = TimerService(asker.send_settle, on_fenced=_leave)
        writer = CommitContext(
            actor=name,
            epoch=epoch,
            policy=config.policy,
            policy_id=config.policy_id,
            limits=config.limits,
            partition=partition,
        )
        self._worker = ChatWorker(config.redis(partition), keys, writer, self._timekeeper)
        self._timekeeper.start()
        tune_gc()

    def info(self) -> ActorInfo:
        """Its process and node."""
        return _actor_info()

    def assign(self, chats: Mapping[str, str]) -> None:
        """Take over open chats (chat → user)."""
        self._worker.assign(chats)

    def track_timer(self, users: list[str]) -> None:
        """Keep the timers of accounts that have chats here."""
        self._worker.track_timer(users)

    def unassign(self, chats: list[str]) -> None:
        """These chats live elsewhere from now on."""
        self._worker.unassign(chats)

    def handle(self, batch: bytes) -> bytes:
        """Decide and commit a batch."""
        try:
            return pack_result(self._worker.handle(*unpack_tasks(batch)))
        except ActorFencedError:
            _leave()
            raise


@ray.remote(num_cpus=0, max_restarts=0, max_task_retries=0)
class SupervisorActor:
    """Reads the queue and routes commands by chat, in each partition."""

    def __init__(self, config: ActorConfig, settings: SupervisorConfig, token: str) -> None:
        config.set_up("supervisor")
        self._config = config
        self._settings = settings
        self._token = token
        # Chats are claimed in the Redis of any partition: clients of their own, for all of them.
        self._claims = AsyncRedisClients(config.redis_servers, CLAIM_TIMEOUT_S)
        self._supervisors = Supervisors(config.partitions, self._make)
        self._balance: NodeBalance | None = None
        self._nodes = NodeChoice(own_node())
        self._head = HeadMonitor(self._ask_head)
        # Threads of their own: while Ray's head is away these calls wait, and nothing else may.
        self._calls = ThreadPoolExecutor(RAY_CALLS_MAX, thread_name_prefix="ray-calls")
        self._call_s = settings.call_timeout_ms / 1000
        start_s = settings.start_timeout_ms / 1000
        self._warm = WarmProcesses(self._start, start_s)
        # All partitions' processes are on one machine: several starts at once slow each other.
        self._starts = Starts(start_s, settings.log_file)

    async def run(self) -> str:
        """Work until ``stop``; returns why it ended."""
        # What chats were is asked seldom: one pool for all partitions.
        self._engine = make_engine(self._config.postgres_url, pool_size=self._config.pool_size)
        tune_gc()
        async with contextlib.AsyncExitStack() as stack:
            if self._config.is_joined:
                watching = asyncio.create_task(self._head.run_forever())
                stack.push_async_callback(end_tasks, watching)
            if self._config.partitions > 1:
                await stack.enter_async_context(self._balanced())
            return await self._supervisors.run()

    @contextlib.asynccontextmanager
    async def _balanced(self) -> AsyncIterator[None]:
        """Share the partitions out with the other daemons, for as long as the block lasts."""
        client = self._config.redis_async(0)
        registry = NodeRegistry(client, self._token, VERSION, platform.node())
        balance = NodeBalance(
            registry,
            self._token,
            self._config.partitions,
            lease_ms=self._settings.lease_ms,
            settle_ms=self._settings.balance_after_ms,
            is_able=self._is_able,
        )
        await balance.look()  # before the first bid: who is there keeps what it should lead
        self._balance = balance
        sharing = asyncio.create_task(
            balance.run_forever(self._supervisors.held, self._supervisors.hand_over)
        )
        try:
            yield
        finally:
            await end_tasks(sharing)
            self._balance = None
            await balance.leave()
            await client.aclose()

    def _make(self, number: int) -> Made:
        """The supervisor of a partition."""
        config, keys, partitions = self._config, Keys(number), self._config.partitions
        client = config.redis_async(number)
        step_ms_max = self._settings.step_ms_max
        parts = SupervisorDependencies(
            client=client,
            keys=keys,
            queue=CommandStream(client, keys, self._token, step_ms_max, partitions),
            closed_chats=ClosedChats(client, keys, self._engine),
            integrity=IntegrityCheck(client, keys, self._engine),
            spawn=partial(self._spawn, number),
            take_warm=partial(self._take_warm, number),
            spawn_recorder=partial(self._spawn_recorder, number),
            load_functions=partial(self._load_library, number),
            directory=self._directory(Partition(number, partitions)),
            warm_up=self._warm_up,
            turn=partial(self._turn, number),
            cluster_trouble=self._head.trouble,
            starts=self._starts,
        )
        return Made(Supervisor(parts, self._settings), client.aclose)

    def _is_able(self) -> bool:
        """Whether it can take another partition over without starting a process first."""
        return self._warm.is_full or bool(self._supervisors.held())

    def _turn(self, number: int) -> Turn:
        return Turn.ANY if self._balance is None else self._balance.turn(number)

    def _warm_up(self, wanted: int) -> None:
        """What one partition wants, for all of them."""
        self._warm.fill(min(wanted * self._config.partitions, WARM_MAX))

    async def stop(self) -> None:
        """Take no more commands and finish what is in hand."""
        if self._balance is not None:
            await self._balance.leave()
        self._supervisors.stop()

    async def status(self) -> dict[str, Any]:
        """What runs where."""
        return self._supervisors.status()

    async def _spawn(self, number: int, name: str, epoch: str) -> RayProcess:
        return await _begun(await self._start(), name, epoch, number)

    async def _take_warm(self, number: int, name: str, epoch: str) -> RayProcess | None:
        process = await self._warm.acquire()
        return await _begun(process, name, epoch, number) if process is not None else None

    async def _start(self) -> RayProcess:
        node = await self._choose_node()
        actor = await self._call_ray(partial(start_actor, ChatActor, node, self._config))
        self._nodes.started(node)
        own, on_end = self._nodes.own, partial(self._nodes.ended, node)
        return RayProcess(actor, own, self._call_s, on_end)

    async def _choose_node(self) -> str:
        if not self._config.is_spread:
            return self._nodes.own
        try:
            alive = await in_time(self._call_ray(_alive_nodes), NODES_S_MAX)
        except HungError:
            return self._nodes.own  # Ray's head is away: nothing is known of the others
        return self._nodes.choose(alive)

    async def _spawn_recorder(self, number: int, memory_id: str, epoch: str) -> RayRecorder:
        own = self._nodes.own
        claim = RecorderClaim(number, memory_id, int(epoch))
        actor = await self._call_ray(partial(start_actor, RecorderActor, own, self._config, claim))
        return RayRecorder(actor, own)

    async def _ask_head(self) -> None:
        await self._call_ray(_alive_nodes)

    def _call_ray(self, call: Callable[[], T]) -> Awaitable[T]:
        return asyncio.get_running_loop().run_in_executor(self._calls, call)

    def _directory(self, partition: Partition) -> ChatDirectory | None:
        if partition.partitions == 1:
            return None
        return ChatDirectory(self._claims, partition, self._config.ended_ttl_ms)

    def _load_library(self, number: int) -> None:
        with contextlib.closing(self._config.redis(number)) as client:
            load_functions(client)


@ray.remote(num_cpus=0, max_restarts=0, max_task_retries=0, max_concurrency=3)
class RecorderActor:
    """Moves what must last to Postgres."""

    def __init__(self, config: ActorConfig, claim: RecorderClaim) -> None:
        keys, epoch = Keys(claim.partition), str(claim.epoch)
        name = f"p{claim.partition}-{RECORDER}" if claim.partition else RECORDER
        config.set_up(name)
        os.nice(BEHIND_NICE)
        structlog.contextvars.bind_contextvars(actor=name, epoch=epoch)
        client = config.redis(claim.partition)
        outbox = Outbox(client, keys, config.ended_ttl_ms, RECORDER, epoch)
        engine = make_engine(
            config.postgres_url, pool_size=1, idle_in_transaction_ms=IDLE_IN_TRANSACTION_MS
        )
        policy = (config.policy_id, policy_document(config.policy))
        self._recorder = Recorder(outbox, engine, claim, policy, config.recorder)

    def info(self) -> ActorInfo:
        """Its process and node."""
        return _actor_info()

    def run(self) -> str:
        """Work until ``stop``; returns why it ended."""
        why = self._recorder.run()
        if why != "stopped":
            _leave()
        return why

    def stop(self) -> None:
        """Move what is there, once, and end ``run``."""
        self._recorder.stop()

    def status(self) -> dict[str, Any]:
        """How far it is."""
        recorder = self._recorder
        return {
            "pid": os.getpid(),
            "written": recorder.written,
            "refused": recorder.refused,
            "table_bytes": recorder.table_bytes,
            "trouble": recorder.trouble or _stuck(recorder.stuck_ms()),
        }


async def _begun(process: RayProcess, name: str, epoch: str, partition: int) -> RayProcess:
    """The process, with its name; one that does not take it is ended."""
    try:
        await process.begin(name, epoch, partition)
    except BaseException:
        process.kill()  # nobody else knows of it, and a late one would run on without a name
        raise
    return process


def _alive_nodes() -> list[str]:
    """The ids of the cluster's nodes that can run actors; may wait for Ray's head."""
    return [
        node["NodeID"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")
    ]


def _leave() -> None:
    """End this process: somebody else has its name, and nothing that it does counts any more."""
    log.error("actor.superseded")
    os._exit(0)


def _stuck(stuck_ms: int) -> str:
    return f"no answer for {stuck_ms} ms" if stuck_ms > STUCK_MS else ""
