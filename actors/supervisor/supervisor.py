"""The supervisor: leads, recovers what was open, reads the queue and routes it, reports."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import msgspec
import redis
import redis.asyncio
import structlog

from actors.rules.command import Command, Invalid
from actors.supervisor.archive import Archive
from actors.supervisor.dispatch import Bounds, Dispatcher
from actors.supervisor.placement import Placement
from actors.supervisor.slot import Process, Slot
from persistence.commit import unpack_state
from persistence.keys import Keys
from persistence.queue import NotLeadingError, Queue

log = structlog.get_logger()

RETRY_PAUSE_S = 0.5
STATUS_TTL_MS = 5_000
LOAD_MAX = 1_000


class SupervisorSettings(msgspec.Struct, frozen=True):
    """What the operator set for the supervisor."""

    actors_max: int = 4
    chats_per_actor: int = 25_000
    spares: int = 1
    batch_max: int = 1_000
    block_ms: int = 1_000
    in_flight_batches_max: int = 4
    lease_ms: int = 3_000
    stop_timeout_ms: int = 8_000
    handled_keep_ms: int = 600_000


class Parts(NamedTuple):
    """What the supervisor works with."""

    client: redis.asyncio.Redis
    keys: Keys
    queue: Queue
    archive: Archive
    spawn: Callable[[str, str], Awaitable[Process]]
    """Starts an actor process: name, epoch."""


class Supervisor:
    """Routes commands by chat to the actors that own them. Lives in one event loop."""

    def __init__(self, parts: Parts, settings: SupervisorSettings) -> None:
        """Nothing happens before ``run``."""
        self._parts = parts
        self._settings = settings
        self._state = "starting"
        self._why = ""
        self._stopping = asyncio.Event()
        self._placement = Placement(settings.actors_max, settings.chats_per_actor)
        self._names = 0
        self._started_at = time.time()
        self._dispatcher = Dispatcher(
            self._placement,
            parts.archive.find,
            self._new_slot,
            Bounds(settings.batch_max * settings.in_flight_batches_max, settings.spares),
        )

    async def run(self) -> str:
        """Work until ``stop``; returns why it ended: ``stopped`` or ``superseded``.

        Raises:
            redis.RedisError: Redis was away while starting.
        """
        chores = [asyncio.create_task(self._chores(), name="chores")]
        try:
            await self._take_lead()
            if not self._stopping.is_set():
                await self._recover()
                await self._read_on()
            await self._finish()
            return "stopped"
        except NotLeadingError:
            log.error("supervisor.superseded")
            return "superseded"
        except Exception:
            log.exception("supervisor.failed")
            raise
        finally:
            await self._close(chores)

    def stop(self) -> None:
        """Take no more commands, finish what is in hand, end ``run``."""
        self._stopping.set()

    async def _take_lead(self) -> None:
        await self._parts.queue.create_group()
        while not self._stopping.is_set():
            bid = await self._parts.queue.lead(self._settings.lease_ms)
            if bid.epoch:
                log.info("supervisor.leading", epoch=bid.epoch)
                return
            self._state, self._why = "standby", "another daemon leads"
            await self._pause(min(bid.wait_ms, self._settings.lease_ms) / 1000 + 0.05)

    async def _recover(self) -> None:
        """Place what was open, then finish what was delivered to an earlier life."""
        self._state, self._why = "recovering", ""
        await self._place_open_chats()
        self._dispatcher.keep_spares()
        await asyncio.gather(*(slot.wait_up() for slot in self._needed()))
        await self._finish_pending()
        self._state = "ready"
        await self._publish()  # at once: who was told it is ready may ask
        log.info(
            "supervisor.ready",
            open_chats=self._placement.open_chats(),
            actors=len(self._dispatcher.slots),
        )

    def _needed(self) -> list[Slot]:
        """The actors that have to be up before commands are handled: those with chats, or any."""
        slots = list(self._dispatcher.slots.values())
        return [slot for slot in slots if self._placement.chats_on(slot.name)] or slots[:1]

    async def _place_open_chats(self) -> None:
        members: Any = await self._parts.client.smembers(self._parts.keys.open_users)
        users = sorted(member.decode() for member in members)
        for i in range(0, len(users), LOAD_MAX):
            page = users[i : i + LOAD_MAX]
            raws: Any = await self._parts.client.mget([self._parts.keys.account(u) for u in page])
            for user, raw in zip(page, raws, strict=True):
                for chat_id in sorted(unpack_state(raw, user)[1].chats):
                    self._place(chat_id, user)

    def _place(self, chat_id: str, user: str) -> None:
        if self._placement.may_grow() and not self._placement.spares():
            self._dispatcher.grow()
        # An open chat has its timer, whatever the operator's limit has become meanwhile.
        actor = self._placement.choose(user, self._placement.actors())
        self._placement.place(chat_id, user, actor or self._placement.least_loaded())

    async def _finish_pending(self) -> None:
        after = "0"
        while entries := await self._parts.queue.pending(after, self._settings.batch_max):
            after = entries[-1].entry
            await self._dispatcher.dispatch(entries)
            await self._dispatcher.room()
        await self._dispatcher.drain()

    async def _read_on(self) -> None:
        while not self._stopping.is_set():
            try:
                await self._dispatcher.room()
                entries = await self._next()
                await self._dispatcher.dispatch(entries)
                self._recovered()
            except redis.RedisError as error:
                self._degraded(f"Redis: {error}")
                await self._pause(RETRY_PAUSE_S)

    async def _next(self) -> list[Command | Invalid]:
        entries = await self._parts.queue.new(self._settings.batch_max)
        if not entries:
            await self._parts.queue.wait(self._settings.block_ms)
        return entries

    async def _finish(self) -> None:
        """Let what is in hand have its effect; what does not comes again in the next life."""
        self._state = "stopping"
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.stop_timeout_ms / 2_000):
                await self._dispatcher.drain()

    async def _close(self, chores: list[asyncio.Task[None]]) -> None:
        for chore in chores:
            chore.cancel()
        await asyncio.gather(*chores, return_exceptions=True)
        await asyncio.gather(*(slot.close() for slot in self._dispatcher.slots.values()))
        with contextlib.suppress(redis.RedisError):
            await self._parts.queue.resign()
            await self._parts.client.delete(self._parts.keys.status)

    def _new_slot(self) -> Slot:
        self._names += 1
        slot = Slot(f"chat-{self._names}", self._spawn, self._placement.chats_on)
        slot.on_up = self._dispatcher.spread
        return slot

    async def _spawn(self, name: str) -> Process:
        return await self._parts.spawn(name, await self._parts.queue.grant(name))

    async def _chores(self) -> None:
        """What has to be done now and then: lease, status, trimming."""
        every_s = min(1.0, self._settings.lease_ms / 3_000)
        while True:
            try:
                await self._chore()
            except redis.RedisError as error:
                log.warning("chores.failed", error=str(error))
            await asyncio.sleep(every_s)

    async def _chore(self) -> None:
        if self._parts.queue.epoch and not await self._parts.queue.renew(self._settings.lease_ms):
            self._stopping.set()
        if self._parts.queue.epoch:
            await self._publish()
            await self._parts.queue.trim(self._settings.handled_keep_ms)

    async def _publish(self) -> None:
        status = msgspec.json.encode(self.status())
        await self._parts.client.set(self._parts.keys.status, status, px=STATUS_TTL_MS)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    def _degraded(self, why: str) -> None:
        if self._state != "degraded":
            log.warning("supervisor.degraded", why=why)
        self._state, self._why = "degraded", why

    def _recovered(self) -> None:
        if self._state == "degraded":
            log.info("supervisor.recovered")
            self._state, self._why = "ready", ""

    def status(self) -> dict[str, Any]:
        """What runs where, for ``meterd status``."""
        return {
            "state": self._state,
            "why": self._why,
            "epoch": self._parts.queue.epoch,
            "uptime_ms": int((time.time() - self._started_at) * 1000),
            "open_chats": self._placement.open_chats(),
            "in_flight": self._dispatcher.in_flight,
            "outcomes": dict(self._dispatcher.outcomes),
            "work": dict(self._dispatcher.work),
            "actors": [self._actor_status(slot) for slot in self._dispatcher.slots.values()],
        }

    def _actor_status(self, slot: Slot) -> dict[str, Any]:
        chats = self._placement.chats_on(slot.name)
        return {
            "name": slot.name,
            "pid": slot.hello.pid if slot.hello else None,
            "node": slot.hello.node if slot.hello else None,
            "up": slot.is_up(),
            "restarts": slot.restarts,
            "chats": len(chats),
            "chat_ids": sorted(chats)[:20],
        }
