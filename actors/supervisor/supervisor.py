"""The supervisor: leads, recovers what was open, reads the queue and routes it, reports."""

import asyncio
import contextlib
import os
import platform
import time
from collections.abc import Awaitable, Callable
from importlib import metadata
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import redis
import redis.asyncio
import structlog

from actors.supervisor.actor_handle import ActorHandle, ActorProcess, Timeouts
from actors.supervisor.balance import Turn
from actors.supervisor.clock_monitor import ClockMonitor
from actors.supervisor.closed_chats import ClosedChats
from actors.supervisor.command_reader import CommandReader
from actors.supervisor.dispatch import Dispatcher, DispatchLimits
from actors.supervisor.gauges import OutboxBound
from actors.supervisor.health import (
    RECORDER,
    ConditionSince,
    Health,
    actor_status,
    recovery_progress,
)
from actors.supervisor.leadership import Leadership
from actors.supervisor.maintenance import MaintenanceDeps, MaintenanceLoop
from actors.supervisor.memory_use import MemoryMonitor
from actors.supervisor.placement import Placement
from actors.supervisor.recorder_supervisor import STOP_S, RecorderProcess, RecorderSupervisor
from actors.supervisor.recovery import needed_actors, place_open_chats, retry_until_ok
from actors.supervisor.sampling import StatusSampler
from actors.supervisor.starts import Starts
from actors.supervisor.stats import SupervisorStats
from actors.supervisor.tasks import end_tasks
from meterd.rules.redis_keys import Keys
from persistence.errors import NotLeadingError
from persistence.redis.chat_directory import ChatDirectory
from persistence.redis.command_stream import CommandStream
from persistence.redis.integrity import IntegrityCheck
from persistence.redis.versions import VERSION

log = structlog.get_logger()

_VERSION: Final = metadata.version("meterd")
WARM_MAX = 8
"""Processes that one who stands by keeps started, at most."""
OTHER_STARTS_AFTER_S = 10.0
"""Warm actors and the recorder start then at the latest, though a needed actor is missing."""


class SupervisorConfig(msgspec.Struct, frozen=True):
    """What the operator set for the supervisor."""

    actors_max: int = 4
    chats_per_actor: int = 25_000
    warm_pool_size: int = 1
    batch_max: int = 1_000
    block_ms: int = 1_000
    in_flight_batches_max: int = 4
    lease_ms: int = 2_000
    balance_after_ms: int = 30_000
    stop_timeout_ms: int = 8_000
    processed_retention_ms: int = 600_000
    call_timeout_ms: int = 10_000
    start_timeout_ms: int = 60_000
    step_ms_max: int = 5_000
    outbox_entries_max: int = 1_000_000
    reply_streams_max: int = 50_000
    dead_bytes_max: int = 64 * 2**20
    log_file: str = ""
    """Where Ray's own output goes; named where a start takes long."""


class SupervisorDependencies(NamedTuple):
    """What the supervisor works with."""

    client: redis.asyncio.Redis
    keys: Keys
    queue: CommandStream
    closed_chats: ClosedChats
    integrity: IntegrityCheck
    spawn: Callable[[str, str], Awaitable[ActorProcess]]
    """Starts an actor process: name, epoch."""
    spawn_recorder: Callable[[str, str], Awaitable[RecorderProcess]]
    """Starts a recorder process: memory, epoch."""
    load_functions: Callable[[], object]
    """Loads this version's functions into Redis."""
    take_warm: Callable[[str, str], Awaitable[ActorProcess | None]]
    """A process that has started already, if there is one: name, epoch."""
    warm_up: Callable[[int], None] = lambda _wanted: None
    """Starts so many processes ahead, for ``take_warm``."""
    directory: ChatDirectory | None = None
    """Where chats are claimed in all partitions; None where there is one."""
    turn: Callable[[], Turn] = lambda: Turn.ANY
    """When to bid for the lease."""
    cluster_trouble: Callable[[], str] = lambda: ""
    """What is wrong with the cluster that the processes run on; empty if nothing."""
    starts: Starts | None = None
    """The queue in which processes start, where several supervisors share one machine."""


class Supervisor:
    """Routes commands by chat to the actors that own them. Lives in one event loop."""

    def __init__(self, parts: SupervisorDependencies, settings: SupervisorConfig) -> None:
        """Nothing happens before ``run``."""
        self._parts = parts
        self._settings = settings
        self._state = "starting"
        self._why = ""
        self.is_over = False
        """Whether it leads no more: another daemon does, or Redis is to be verified again."""
        self._stopping = asyncio.Event()
        self._is_handing_over = False
        self._placement = Placement(settings.actors_max, settings.chats_per_actor)
        self._names = 0
        number = parts.keys.partition
        self._prefix = f"p{number}-" if number else ""
        """Names of actors are their own in all partitions; those of partition 0 as ever."""
        self._started_at = time.time()
        self._outbox = OutboxBound(settings.outbox_entries_max)
        self._clock = ClockMonitor(parts.client, parts.keys, settings.step_ms_max)
        self._leadership = Leadership(parts.queue, parts.integrity, settings.lease_ms, parts.turn)
        self._counts = SupervisorStats(self._clock.now_ms)
        self._sampler = StatusSampler(parts.client, parts.keys, self._counts)
        self._condition_since = ConditionSince()
        log_folder = Path(settings.log_file).parent if settings.log_file else None
        self._memory = MemoryMonitor(parts.client, parts.keys, log_folder)
        deps = MaintenanceDeps(
            leadership=self._leadership,
            clock=self._clock,
            outbox=self._outbox,
            sampler=self._sampler,
            memory=self._memory,
            open_chats=self._placement.open_chats,
            load_library=parts.load_functions,
            lease_ms=settings.lease_ms,
            processed_retention_ms=settings.processed_retention_ms,
        )
        self._maintenance = MaintenanceLoop(parts.client, parts.keys, parts.queue, deps)
        answer_s = settings.call_timeout_ms / 1000
        self._timeouts = Timeouts(answer_s, settings.start_timeout_ms / 1000)
        self._starts = parts.starts or Starts(self._timeouts.start_s, settings.log_file)
        self._recording = RecorderSupervisor(
            self._spawn_recorder, self._timeouts, self._starts, f"{self._prefix}{RECORDER}"
        )
        self._dispatcher = Dispatcher(
            self._placement,
            parts.closed_chats.find,
            self._new_actor,
            DispatchLimits(
                settings.batch_max * settings.in_flight_batches_max,
                settings.warm_pool_size,
                self._outbox,
            ),
            self._counts,
            parts.directory,
        )
        self._reader = CommandReader(
            parts.queue,
            self._dispatcher,
            self._clock,
            self._outbox,
            batch_max=settings.batch_max,
            block_ms=settings.block_ms,
        )

    @property
    def is_ready(self) -> bool:
        """Whether it leads, and handles commands."""
        return self._state == "ready"

    async def run(self) -> str:
        """Work until ``stop``; returns why it ended: ``stopped`` or ``superseded``."""
        maintenance = asyncio.create_task(self._maintenance.run_forever(self.status))
        work = asyncio.create_task(self._work())
        try:
            await asyncio.wait([maintenance, work], return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise maintenance.result()
            work.result()
            return "stopped"
        except NotLeadingError as error:
            self.is_over = True
            log.error("supervisor.superseded", why=str(error))
            return "superseded"
        except Exception:
            log.exception("supervisor.failed")
            raise
        finally:
            await self._close(maintenance, work)

    async def _work(self) -> None:
        """Lead, recover, read on until told to stop, finish what is in hand."""
        reading = asyncio.create_task(self._lead_and_read())
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait([reading, stopping], return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                reading.result()
            with contextlib.suppress(TimeoutError):
                # What does not have its effect in time comes again in the next life.
                async with asyncio.timeout(self._settings.stop_timeout_ms / 2_000):
                    await reading
                    await self._dispatcher.drain()
        finally:
            await end_tasks(stopping, reading)

    async def _lead_and_read(self) -> None:
        with contextlib.suppress(redis.RedisError):  # it is waited for below
            await self._maintenance.look_at_library()  # first: who must not lead takes no lease
        if await self._leadership.acquire(self._report, self._pause, self._stopping.is_set):
            await self._recover()
            await self._reader.read_on(self._pause, self._stopping.is_set)
        self._state = "stopping"

    def stop(self) -> None:
        """Take no more commands, finish what is in hand, end ``run``."""
        self._stopping.set()

    def hand_over(self) -> None:
        """As ``stop``, for another daemon: its recorder moves what is in the outbox."""
        self._is_handing_over = True
        self._stopping.set()

    async def _report(self, state: str, why: str) -> None:
        if (state, why) != (self._state, self._why):
            log.info("supervisor.state", state=state, why=why)
        self._state, self._why = state, why
        if state == "standby":
            self._parts.warm_up(min(self._settings.actors_max, WARM_MAX))
        if state == "lost":  # nobody leads, so nobody else would say so
            await self._maintenance.publish(self.status())

    async def _recover(self) -> None:
        """Place what was open, then finish what was delivered to an earlier life."""
        self._state, self._why = "recovering", ""
        # At once: until then the word of a daemon that was killed stands, and may be "ready".
        await self._publish_status()
        await place_open_chats(self._parts.client, self._parts.keys, self._dispatcher)
        if not self._dispatcher.handles:
            self._dispatcher.scale_up()
        # First the actors that commands wait for, in all partitions: starts come one by one, and
        # nobody waits for a warm actor or a recorder.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(OTHER_STARTS_AFTER_S):
                await self._until_needed_are_up()
        self._dispatcher.fill_warm_pool()
        self._recording.start()
        await self._until_needed_are_up()
        await retry_until_ok(self._clock.poll)
        await self._reader.finish_pending()
        self._state = "ready"
        # At once: who was told that it is ready may ask.
        await self._publish_status()
        log.info(
            "supervisor.ready",
            open_chats=self._placement.open_chats(),
            actors=len(self._dispatcher.handles),
        )

    async def _until_needed_are_up(self) -> None:
        await asyncio.gather(*(handle.wait_up() for handle in needed_actors(self._dispatcher)))

    async def _publish_status(self) -> None:
        await retry_until_ok(lambda: self._maintenance.publish(self.status()))

    async def _close(self, *tasks: asyncio.Task[Any]) -> None:
        await end_tasks(*tasks)
        await asyncio.gather(*(handle.close() for handle in self._dispatcher.handles.values()))
        await self._recording.stop(0 if self._is_handing_over else STOP_S)
        with contextlib.suppress(redis.RedisError):
            if self._parts.queue.epoch and not self.is_over:
                await self._parts.queue.resign()
                await self._parts.client.delete(self._parts.keys.status)

    def _new_actor(self) -> ActorHandle:
        self._names += 1
        handle = ActorHandle(
            f"{self._prefix}chat-{self._names}",
            self._spawn,
            self._placement.chats_on,
            self._timeouts,
            self._maintenance.is_redis_well,
            self._starts,
            self._take_warm,
        )
        handle.on_up = self._dispatcher.rebalance
        return handle

    async def _spawn(self, name: str) -> ActorProcess:
        return await self._parts.spawn(name, await self._parts.queue.issue_epoch(name))

    async def _take_warm(self, name: str) -> ActorProcess | None:
        return await self._parts.take_warm(name, await self._parts.queue.issue_epoch(name))

    async def _spawn_recorder(self) -> RecorderProcess:
        epoch = await self._parts.queue.issue_epoch("recorder")
        memory: Any = await self._parts.client.get(self._parts.keys.instance_id)
        return await self._parts.spawn_recorder(memory.decode(), epoch)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    def status(self) -> dict[str, Any]:
        """What runs where, for ``meterd status``."""
        state, why = self._condition()
        handles = self._dispatcher.handles.values()
        is_recovering = self._state == "recovering"
        now_ms = self._clock.now_ms() or int(time.time() * 1_000)
        return {
            "now": now_ms,
            "state": state,
            "state_since": self._condition_since.told(state, now_ms),
            "why": why,
            "recovery": recovery_progress(handles, self._placement) if is_recovering else None,
            "version": _VERSION,
            "functions": VERSION,
            "pid": os.getpid(),
            "epoch": self._parts.queue.epoch,
            "partitions": [self._line(state, why)],
            "uptime_ms": int((time.time() - self._started_at) * 1000),
            "open_chats": self._placement.open_chats(),
            "in_flight": self._dispatcher.in_flight,
            **self._counts.as_dict(),
            "clock_steps": self._clock.steps,
            "lease_changes": self._leadership.changes,
            "recent": msgspec.structs.asdict(self._sampler.last),
            "limits": {
                "open_chats": self._settings.actors_max * self._settings.chats_per_actor,
                "outbox": self._settings.outbox_entries_max,
                "reply_streams": self._settings.reply_streams_max,
                "dead_bytes": self._settings.dead_bytes_max,
            },
            "memory": msgspec.to_builtins(self._memory.last),
            "queue": msgspec.to_builtins(self._maintenance.gauges),
            "recorder": {
                **self._recording.status,
                "restarts": self._recording.restarts,
                "replacing": self._recording.replacement.as_dict(now_ms),
            },
            "actor_restarts": sum(handle.restarts for handle in handles),
            "actors": [actor_status(handle, self._placement, now_ms) for handle in handles],
        }

    def _line(self, state: str, why: str) -> dict[str, Any]:
        """The partition in short, for a status of several."""
        return {
            "partition": self._parts.keys.partition,
            "state": state,
            "why": why,
            "epoch": self._parts.queue.epoch,
            "open_chats": self._placement.open_chats(),
            "host": platform.node(),
        }

    def _condition(self) -> tuple[str, str]:
        if self._clock.why and self._state in ("recovering", "ready"):
            return "held", self._clock.why
        if self._state != "ready":
            return self._state, self._why or self._maintenance.trouble or self._starts.why
        troubles = [
            self._reader.error,
            self._maintenance.trouble,
            *(s.trouble for s in self._dispatcher.handles.values()),
        ]
        gauges, recorder = self._maintenance.gauges, self._recording.status
        replacements = {RECORDER: self._recording.replacement} | {
            handle.name: handle.replacement for handle in self._dispatcher.handles.values()
        }
        health = Health(
            troubles, self._outbox, gauges, recorder, replacements, self._parts.cluster_trouble()
        )
        return health.condition()
