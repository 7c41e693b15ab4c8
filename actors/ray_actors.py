"""The Ray actors: thin shells around the plain classes, nothing decided here.

Ray calls are at most once (``max_task_retries=0``): who called repeats what was lost, and the
commit function sees to it that it has one effect.
"""

import contextlib
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import ray
import redis
import structlog

from actors.chat.decide import Writer
from actors.chat.timekeeper import Asker, Timekeeper
from actors.chat.worker import ChatWorker
from actors.messages import Hello, pack_handled, unpack_tasks
from actors.recorder import IDLE_IN_TRANSACTION_MS, Recorder, RecorderSettings
from actors.rules.state import Policy
from actors.supervisor.archive import Archive
from actors.supervisor.supervisor import Parts, Supervisor, SupervisorSettings
from persistence.client import connect, connect_async
from persistence.commit import Limits, policy_document
from persistence.keys import Keys
from persistence.library import ensure_library
from persistence.memory import Memory
from persistence.outbox import Outbox
from persistence.postgres.engine import make_engine
from persistence.postgres.office import Office
from persistence.queue import Queue

log = structlog.get_logger()

RECORDER: Final = "recorder"

STUCK_MS: Final = 3_000
"""A transaction that takes longer is trouble worth telling."""


class Boot(NamedTuple):
    """What every actor needs to begin."""

    redis_url: str
    postgres_url: str
    keys: Keys
    policy: Policy
    policy_id: str
    limits: Limits
    ended_ttl_ms: int
    socket_timeout_s: float
    connect_timeout_s: float
    pool_size: int
    recorder: RecorderSettings
    set_up: Callable[[str], None]
    """Called first in the actor's process, with its name: logging."""

    def redis(self) -> redis.Redis:
        """A connection of one's own."""
        return connect(self.redis_url, self.socket_timeout_s, self.connect_timeout_s)


def start_actor(actor_class: Any, *args: object) -> Any:
    """Start an actor; Ray gives its classes a ``remote`` that type checkers don't know of."""
    return actor_class.remote(*args)


def _hello() -> Hello:
    return Hello(os.getpid(), ray.get_runtime_context().get_node_id(), socket.gethostname())


@ray.remote(num_cpus=0, max_restarts=0, max_task_retries=0)
class ChatActor:
    """One chat's timer and accrual (and more chats' beyond ``actors.max``)."""

    def __init__(self, boot: Boot, name: str, epoch: str) -> None:
        boot.set_up(name)
        structlog.contextvars.bind_contextvars(actor=name, epoch=epoch)
        asker = Asker(boot.redis(), boot.keys, name, epoch)
        self._timekeeper = Timekeeper(asker.ask)
        writer = Writer(name, epoch, boot.policy, boot.policy_id, boot.limits)
        self._worker = ChatWorker(boot.redis(), boot.keys, writer, self._timekeeper)
        self._timekeeper.start()

    def hello(self) -> Hello:
        """Who it is."""
        return _hello()

    def host(self, chats: Mapping[str, str]) -> None:
        """Take over open chats (chat → user)."""
        self._worker.host(chats)

    def watch(self, users: list[str]) -> None:
        """Keep the timers of accounts that have chats here."""
        self._worker.watch(users)

    def drop(self, chats: list[str]) -> None:
        """These chats live elsewhere from now on."""
        self._worker.drop(chats)

    def handle(self, batch: bytes) -> bytes:
        """Decide and commit a batch."""
        return pack_handled(self._worker.handle(*unpack_tasks(batch)))


@ray.remote(num_cpus=0, max_restarts=0, max_task_retries=0)
class SupervisorActor:
    """Reads the queue and routes commands by chat."""

    def __init__(self, boot: Boot, settings: SupervisorSettings, token: str) -> None:
        boot.set_up("supervisor")
        self._boot = boot
        self._settings = settings
        self._token = token
        self._supervisor: Supervisor | None = None

    async def run(self) -> str:
        """Work until ``stop``; returns why it ended."""
        boot = self._boot
        client = connect_async(boot.redis_url, boot.socket_timeout_s, boot.connect_timeout_s)
        queue = Queue(client, boot.keys, self._token)
        engine = make_engine(boot.postgres_url, pool_size=boot.pool_size)
        parts = Parts(
            client,
            boot.keys,
            queue,
            Archive(client, boot.keys, engine),
            Memory(client, boot.keys, engine),
            self._spawn,
            self._spawn_recorder,
            self._load_library,
        )
        self._supervisor = Supervisor(parts, self._settings)
        return await self._supervisor.run()

    async def stop(self) -> None:
        """Take no more commands and finish what is in hand."""
        if self._supervisor is not None:
            self._supervisor.stop()

    async def status(self) -> dict[str, Any]:
        """What runs where."""
        return self._supervisor.status() if self._supervisor else {"state": "starting", "why": ""}

    async def _spawn(self, name: str, epoch: str) -> "RayProcess":
        return RayProcess(start_actor(ChatActor, self._boot, name, epoch))

    async def _spawn_recorder(self, memory_id: str, epoch: str) -> "RayRecorder":
        return RayRecorder(start_actor(RecorderActor, self._boot, memory_id, epoch))

    def _load_library(self) -> None:
        with contextlib.closing(self._boot.redis()) as client:
            ensure_library(client)


@ray.remote(num_cpus=0, max_restarts=0, max_task_retries=0, max_concurrency=3)
class RecorderActor:
    """Moves what must last to Postgres."""

    def __init__(self, boot: Boot, memory_id: str, epoch: str) -> None:
        boot.set_up(RECORDER)
        structlog.contextvars.bind_contextvars(actor=RECORDER, epoch=epoch)
        outbox = Outbox(boot.redis(), boot.keys, boot.ended_ttl_ms, RECORDER, epoch)
        engine = make_engine(
            boot.postgres_url, pool_size=1, idle_in_transaction_ms=IDLE_IN_TRANSACTION_MS
        )
        office = Office(boot.keys.partition, memory_id, int(epoch))
        policy = (boot.policy_id, policy_document(boot.policy))
        self._recorder = Recorder(outbox, engine, office, policy, boot.recorder)

    def hello(self) -> Hello:
        """Who it is."""
        return _hello()

    def run(self) -> str:
        """Work until ``stop``; returns why it ended."""
        return self._recorder.run()

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
            "trouble": recorder.trouble or _stuck(recorder.stuck_ms()),
        }


def _stuck(stuck_ms: int) -> str:
    return f"no answer for {stuck_ms} ms" if stuck_ms > STUCK_MS else ""


def _end(actor: Any, known: Hello | None) -> None:
    """End an actor's process at once. One that was stopped hears the kernel only, not Ray."""
    ray.kill(actor)
    if known is not None and known.host == socket.gethostname() and _is_ray(known.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(known.pid, signal.SIGKILL)


def _is_ray(pid: int) -> bool:
    """Whether a process is an actor's, and not somebody else's who has its number by now."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"ray::")
    return False


class RayRecorder:
    """The recorder's process as its keeper uses it."""

    def __init__(self, actor: Any) -> None:
        """Speak to ``actor``, a handle."""
        self._actor = actor
        self._hello: Hello | None = None

    async def run(self) -> str:
        """Work until stopped; returns why it ended."""
        why: str = await self._actor.run.remote()
        return why

    async def status(self) -> dict[str, Any]:
        """How far it is."""
        if self._hello is None:
            self._hello = await self._actor.hello.remote()
        status: dict[str, Any] = await self._actor.status.remote()
        return status

    async def stop(self) -> None:
        """Move what is there and end ``run``."""
        await self._actor.stop.remote()

    def kill(self) -> None:
        """End it at once."""
        _end(self._actor, self._hello)


class RayProcess:
    """A chat actor's process as a slot of the supervisor uses it."""

    def __init__(self, actor: Any) -> None:
        """Speak to ``actor``, a handle."""
        self._actor = actor
        self._hello: Hello | None = None

    async def hello(self) -> Hello:
        """Who it is; the first answer means that it is up."""
        hello: Hello = await self._actor.hello.remote()
        self._hello = hello
        return hello

    async def check(self) -> None:
        """Raise if it is gone: by its process where that is on this machine, else by a call."""
        known = self._hello
        if known is None or known.host != socket.gethostname():
            await self.hello()
        elif not os.path.exists(f"/proc/{known.pid}"):  # noqa: PTH110 - twice a second, each actor
            raise ProcessLookupError(f"process {known.pid} has ended")

    async def host(self, chats: Mapping[str, str]) -> None:
        """Take over open chats."""
        await self._actor.host.remote(dict(chats))

    async def watch(self, users: list[str]) -> None:
        """Keep the timers of accounts."""
        await self._actor.watch.remote(users)

    async def drop(self, chats: list[str]) -> None:
        """Take chats from it."""
        await self._actor.drop.remote(chats)

    def handle(self, batch: bytes) -> Awaitable[bytes]:
        """Submit a batch; Ray keeps the order of one caller's calls."""
        answer: Awaitable[bytes] = self._actor.handle.remote(batch)
        return answer

    def kill(self) -> None:
        """End it at once."""
        _end(self._actor, self._hello)
