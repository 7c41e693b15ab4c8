"""A daemon's life: the real queue, dispatcher, placement and slots, led on by the play."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import redis
import redis.asyncio

from actors.supervisor.actor_handle import ActorHandle, ActorProcess, Timeouts
from actors.supervisor.dispatch import Dispatcher, DispatchLimits
from actors.supervisor.gauges import OutboxBound
from actors.supervisor.placement import Placement
from actors.supervisor.stats import SupervisorStats
from meterd.rules.model import Chat, Policy
from persistence.errors import NotLeadingError
from persistence.redis.account_reader import read_chats
from persistence.redis.command_stream import CommandStream, ReadNotice
from persistence.redis.commit import unpack_state
from tests.interleavings.actor_life import KEYS, ActorLife
from tests.interleavings.invariant_monitor import Call, Clock
from tests.interleavings.play_options import PlayOptions
from tests.interleavings.stepped_threads import Server

LEASE_MS = 3_600_000
IN_FLIGHT_MAX = 12
MEMORY = "played"

Mood = Callable[[], str]
"""What becomes of a round trip: ``go``, ``request`` or ``answer`` (which is lost)."""


class DirectClient:
    """As much of an asyncio client as the queue uses; each call is one uninterrupted step."""

    def __init__(self, server: Server, clock: Clock, mood: Mood) -> None:
        self._server = server
        self._clock = clock
        self._mood = mood

    async def fcall(self, function: str, count: int, *args: Any) -> Any:
        return self._ask(("FCALL", function, count, *args))

    async def xgroup_create(self, key: str, group: str, id: str, mkstream: bool) -> Any:  # noqa: A002 - the client's name for it
        assert mkstream
        return self._ask(("XGROUP", "CREATE", key, group, id, "MKSTREAM"))

    async def xpending(self, key: str, group: str) -> Any:
        return self._ask(("XPENDING", key, group))

    async def xrange(self, key: str, count: int) -> Any:
        return self._ask(("XRANGE", key, "-", "+", "COUNT", count))

    async def xinfo_groups(self, key: str) -> Any:
        groups = [
            dict(zip(one[::2], one[1::2], strict=True))
            for one in self._ask(("XINFO", "GROUPS", key))
        ]
        return [{name.decode(): value for name, value in one.items()} for one in groups]

    async def mget(self, keys: Sequence[str]) -> Any:
        return self._ask(("MGET", *keys))

    async def smembers(self, key: str) -> Any:
        return self._ask(("SMEMBERS", key))

    async def time(self) -> tuple[int, int]:
        return self._clock.ms // 1_000, self._clock.ms % 1_000 * 1_000

    def _ask(self, call: Call) -> Any:
        mood = self._mood()
        if mood == "request":
            raise redis.ConnectionError("the request was lost")
        answer = self._server.one(*call)
        if mood == "answer":
            raise redis.ConnectionError("the answer was lost")
        return answer


class Daemon:
    """One that leads, or led once."""

    def __init__(
        self, token: str, client: DirectClient, policy: Policy, options: PlayOptions
    ) -> None:
        self.token = token
        self.gates: dict[str, asyncio.Future[ActorProcess]] = {}
        self.is_over = False
        self.queue = CommandStream(cast("redis.asyncio.Redis", client), KEYS, token)
        self._policy = policy
        self._client = client
        self._lives: dict[str, ActorLife] = {}
        self._placement = Placement(options.actors_max, 1_000)
        self.dispatcher = Dispatcher(
            self._placement,
            self._find,
            self._new_handle,
            DispatchLimits(IN_FLIGHT_MAX, warm_pool_size=1, outbox=OutboxBound(1_000_000)),
            SupervisorStats(lambda: client._clock.ms),
        )
        self._after = "0"
        self._is_recovering = True
        self._is_disturbed = False
        """Whether entries were claimed that are to be read again once nothing is in hand."""
        self._names = 0

    async def take_over(self) -> bool:
        """Bid for the lead, verify if need be, place what is open."""
        await self.queue.create_group()
        bid = await self.queue.acquire_lease(LEASE_MS)
        if not bid.epoch or not (
            bid.is_state_verified or await self.queue.confirm_integrity(MEMORY)
        ):
            return False
        await self._place_open_chats()
        self.dispatcher.fill_warm_pool()
        return True

    def may_read(self) -> bool:
        """Whether there is room for more work."""
        return not self.is_over and self.dispatcher.in_flight < IN_FLIGHT_MAX

    def wants_to_read(self, unread: int) -> bool:
        """Whether a read is likely to bring anything."""
        return self._is_recovering or self._is_disturbed or not self.queue._is_sure or unread > 0

    async def read(self, count: int) -> bool:
        """One read, of what was pending first; whether anything came of it."""
        if self._is_disturbed and self.dispatcher.in_flight:
            return False
        if self._is_disturbed:
            self._is_disturbed, self._is_recovering, self._after = False, True, "0"
        batch = await self._next(count)
        entries = batch.entries
        if batch.notice is ReadNotice.CLAIMED:
            self._is_disturbed = True
            return True
        if self._is_recovering and entries:
            self._after = entries[-1].entry
        elif self._is_recovering and not self.dispatcher.in_flight:
            self._is_recovering = False
            return True
        await self.dispatcher.dispatch(entries)
        return bool(entries)

    async def _next(self, count: int) -> Any:
        if self._is_recovering:
            return await self.queue.pending(self._after, count)
        return await self.queue.new(count)

    async def open_gate(self, name: str, clock: Clock, skew_ms: int) -> ActorLife | None:
        """Grant an epoch for a process that a slot waits for, and start it."""
        gate = self.gates.pop(name)
        try:
            epoch = await self.queue.issue_epoch(name)
        except (redis.RedisError, NotLeadingError) as error:
            gate.set_exception(error)
            return None
        life = self._lives[name] = ActorLife(name, epoch, self._policy, clock, skew_ms)
        gate.set_result(life)
        return life

    def unnoticed(self) -> list[str]:
        """Actors that died while nobody asked them anything."""
        return [name for name, life in self._lives.items() if life.is_dead and self._rests(name)]

    def look_after(self, name: str) -> None:
        """Have an actor say that it is there."""
        self.dispatcher.handles[name].track_timer("u1")

    def _rests(self, name: str) -> bool:
        return name not in self.gates and not self.dispatcher.handles[name].waiting()

    async def close(self) -> None:
        """End what runs for it here."""
        await asyncio.gather(*(handle.close() for handle in self.dispatcher.handles.values()))

    async def _find(self, chat_ids: Sequence[str]) -> dict[str, Chat]:
        return read_chats(chat_ids, await self._client.mget([KEYS.chat(c) for c in chat_ids]))

    def _new_handle(self) -> ActorHandle:
        self._names += 1
        timeouts = Timeouts(call_s=1e6, start_s=1e6)
        handle = ActorHandle(f"chat-{self._names}", self._spawn, self._hosting, timeouts)
        handle.on_up = self.dispatcher.rebalance
        return handle

    def _hosting(self, actor: str) -> Mapping[str, str]:
        return self._placement.chats_on(actor)

    async def _spawn(self, name: str) -> ActorProcess:
        self.gates[name] = asyncio.get_running_loop().create_future()
        return await self.gates[name]

    async def _place_open_chats(self) -> None:
        users = sorted(user.decode() for user in await self._client.smembers(KEYS.open_users))
        raws = await self._client.mget([KEYS.account(user) for user in users]) if users else []
        for user, raw in zip(users, raws, strict=True):
            for chat_id in sorted(unpack_state(raw, user)[1].chats):
                self._place(chat_id, user)

    def _place(self, chat_id: str, user: str) -> None:
        if self._placement.may_grow() and not self._placement.warm_actors():
            self.dispatcher.scale_up()
        actor = self._placement.choose(user, self._placement.actors())
        self._placement.place(chat_id, user, actor or self._placement.least_loaded())
