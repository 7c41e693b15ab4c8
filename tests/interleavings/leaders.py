"""What daemons do in a play: the one that leads, its rivals, and those that led before."""

import contextlib
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any

import redis

from meterd.rules.redis_keys import GROUP
from persistence.errors import NotLeadingError
from persistence.redis.command_stream import CommandStream, LeaseStatus
from persistence.redis.functions import function_name
from tests.interleavings.actor_life import KEYS
from tests.interleavings.daemons import LEASE_MS, MEMORY, Daemon, DirectClient
from tests.interleavings.invariant_monitor import ViolationError
from tests.interleavings.owners import Owners
from tests.interleavings.play_context import Choice, PlayContext

AWAY = (redis.ConnectionError, NotLeadingError)


class Leaders:
    """The daemons of a play, one after the other."""

    def __init__(self, context: PlayContext, owners: Owners) -> None:
        self._context = context
        self._owners = owners
        self.daemons: list[Daemon] = []

    @property
    def now(self) -> Daemon:
        """The last one to lead."""
        return self.daemons[-1]

    def choices(self) -> Iterator[Choice]:
        """What may come next."""
        daemon = self.now
        if daemon.may_read():
            wants = daemon.wants_to_read(self._context.monitor.unread + self._strangers())
            yield Choice(3, "read", self._read) if wants else Choice(0.2, "idle", self._read)
        for name in daemon.gates:
            yield Choice(4, f"start #{name}", partial(self._start, name))
        for name in daemon.unnoticed():
            yield Choice(1, f"notice #{name}", partial(daemon.look_after, name))
        if daemon.is_over or not self._context.monitor.is_verified:
            yield Choice(2, "succeed", self.succeed)

    def mishaps(self) -> Iterator[Choice]:
        """What may come next and had better not."""
        queue = self.now.queue
        yield Choice(0.1, "rival", self._rival)
        yield Choice(0.15, "stranger", self._stranger)
        yield Choice(
            0.05, "perjure", partial(self._try, partial(queue.confirm_integrity, "another"))
        )
        yield Choice(0.1 * (1 - self._context.options.calm), "stop", partial(self._try, self._stop))
        yield Choice(0.1, "renew", partial(self._try, self._renew))
        yield Choice(0.1, "trim", partial(self._trim, queue, 40))
        yield Choice(0.15 * (1 - self._context.options.calm), "succeed", self.succeed)
        for ghost in self.daemons[-3:-1]:
            yield Choice(0.3, "haunt", partial(self._haunt, ghost.queue, ghost.token))

    async def succeed(self) -> None:
        """The lease of whoever leads runs out, and another daemon takes over."""
        self._context.server.one("DEL", KEYS.leader)
        self._context.monitor.holder = ""
        client = DirectClient(self._context.server, self._context.clock, self._context.mood)
        daemon = Daemon(
            f"t{len(self.daemons)}", client, self._context.policy, self._context.options
        )
        while not await self._took_over(daemon):
            pass
        self.daemons.append(daemon)

    async def close(self) -> None:
        """End what is still going on."""
        for daemon in self.daemons:
            await daemon.close()

    async def _took_over(self, daemon: Daemon) -> bool:
        try:
            if not await daemon.take_over():
                raise ViolationError("nobody could take over")
        except redis.ConnectionError:
            return False
        return True

    async def _read(self) -> None:
        await self._try(partial(self.now.read, self._context.rng.randint(1, 6)))

    async def _start(self, name: str) -> None:
        skew_ms = self._context.rng.choice([0, 0, 3, -3])
        life = await self.now.open_gate(name, self._context.clock, skew_ms)
        if life is not None:
            life.note = self._context.note
            self._owners.lives.append(life)

    async def _renew(self) -> None:
        if await self.now.queue.renew_lease(LEASE_MS) is not LeaseStatus.VERIFIED:
            raise NotLeadingError

    async def _stop(self) -> None:
        self.now.is_over = True
        await self.now.queue.resign()

    async def _try(self, act: Callable[[], Awaitable[Any]]) -> None:
        """A round trip of the one that leads; it may be lost, and so may the lead."""
        try:
            await act()
        except redis.ConnectionError:
            pass
        except NotLeadingError:
            self.now.is_over = True

    async def _trim(self, queue: CommandStream, keep_ms: int) -> None:
        self._context.note_log()
        await self._try(partial(queue.trim, keep_ms))

    def _stranger(self) -> None:
        """A tool reads as another consumer of the group, and acknowledges nothing."""
        self._context.server.one(
            "XREADGROUP", "GROUP", GROUP, f"tool-{self._context.rng.randint(1, 2)}",
            "COUNT", self._context.rng.randint(1, 3), "STREAMS", KEYS.commands, ">",
        )  # fmt: skip

    def _strangers(self) -> int:
        """How many entries strangers have that the leader has yet to claim."""
        found: Any = self._context.server.client.xpending(KEYS.commands, GROUP)
        others = (c for c in found["consumers"] if c["name"] != GROUP.encode())
        return sum(each["pending"] for each in others)

    def _rival(self) -> None:
        """Another daemon bids while somebody leads."""
        if self._context.monitor.holder:
            self._context.server.one(
                "FCALL", function_name("acquire_lease"), 1, KEYS.commands, "rival", LEASE_MS
            )

    async def _haunt(self, queue: CommandStream, token: str) -> None:
        """A daemon that led once tries to do what only the leader may."""
        memory = self._context.rng.choice([MEMORY, "another"])
        acts: list[Callable[[], Awaitable[Any]]] = [
            partial(queue.new, 5),
            partial(queue.pending, "0", 5),
            partial(queue.renew_lease, LEASE_MS),
            partial(queue.issue_epoch, "chat-1"),
            partial(queue.confirm_integrity, memory),
            partial(self._trim_anyway, queue.epoch),
            partial(self._resign, token),
        ]
        with contextlib.suppress(*AWAY):
            await self._context.rng.choice(acts)()

    async def _trim_anyway(self, epoch: str) -> None:
        last = f"{self._context.clock.ms + 1}-0"
        self._context.server.one("FCALL", function_name("trim"), 1, KEYS.commands, epoch, last)

    async def _resign(self, token: str) -> None:
        self._context.server.one("FCALL", function_name("resign"), 1, KEYS.commands, token)
