"""A play: daemons, owners, backends and mishaps, one step at a time, in an order of chance."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Final

import redis

from tests.interleavings.actor_life import KEYS
from tests.interleavings.final_check import check_final_state
from tests.interleavings.invariant_monitor import ViolationError
from tests.interleavings.leaders import Leaders
from tests.interleavings.operators import Operators
from tests.interleavings.owners import Owners
from tests.interleavings.play_context import Choice, PlayContext
from tests.interleavings.recorders import PlayedRecorders, RecordedFacts
from tests.interleavings.traffic import Traffic

STEPS_MAX: Final = 4_000
FAR_MS: Final = 1_000_000

Check = Callable[[PlayContext, RecordedFacts], None]
"""Looks at what a play has left."""


class Play:
    """Everything that is going on, and what may come next."""

    def __init__(self, client: redis.Redis, seed: int, check: Check) -> None:
        self.context = PlayContext(client, seed)
        self._check = check
        self._owners = Owners(self.context)
        self._leaders = Leaders(self.context, self._owners)
        self._recorders = PlayedRecorders(self.context)
        self._operators = Operators(self.context)
        self._traffic = Traffic(self.context.rng)
        self._sent = 0
        self._steps = 0

    async def run(self) -> None:
        """Play until everything was sent and has had its effect; then check what is left."""
        asyncio.get_running_loop().set_exception_handler(self._went_wrong)
        try:
            await self._leaders.succeed()
            while self._sent < self.context.options.commands:
                await self._step([*self._choices(), *self._mishaps()])
            self.context.is_faulty = False
            await self._finish()
            self._check(self.context, self._recorders.ledger)
        finally:
            await self._close()

    async def _step(self, choices: list[Choice]) -> None:
        (choice,) = self.context.rng.choices(choices, [choice.weight for choice in choices])
        self._steps += 1
        if self._steps > STEPS_MAX:
            raise ViolationError(f"no end: {self.context.trace[-12:]}")
        self.context.note(choice.name)
        result = choice.act()
        if result is not None:
            await result
        await quiet()
        self.context.monitor.check()

    def _went_wrong(self, _: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        self.context.monitor.wrong.append(str(context))

    def _choices(self) -> Iterator[Choice]:
        yield from self._owners.choices()
        yield from self._leaders.choices()
        yield from self._recorders.choices()
        yield from self._operators.choices()

    def _mishaps(self) -> Iterator[Choice]:
        yield Choice(2, "send", self._send)
        yield Choice(1.5, "tick", self._tick)
        yield from self._leaders.mishaps()
        yield from self._recorders.mishaps(self._leaders.now.queue.epoch)
        yield from self._operators.mishaps()

    def _send(self) -> None:
        fields = self._traffic.next(self.context.clock.ms)
        flat = [part for pair in fields.items() for part in pair]
        self.context.server.one("XADD", KEYS.commands, f"{self.context.clock.ms}-*", *flat)
        self._sent += 1

    def _tick(self) -> None:
        """A while passes; often until something falls due, or just before or after."""
        rng, due_at = self.context.rng, self._owners.due_at()
        step = rng.choice([0, 1, 1, 5, 20])
        if due_at is not None and rng.random() < 0.6:
            step = due_at - self.context.clock.ms + rng.choice([0, 1, 1, 2])
        self.context.wait(max(0, min(step, 1_000)))

    async def _finish(self) -> None:
        """Nothing goes wrong any more; time passes until nothing falls due any more."""
        await self._work_off()
        self._owners.retire()
        while True:
            await self._work_off()
            due_at = self._owners.due_at()
            if due_at is None or due_at - self.context.clock.ms > FAR_MS:
                return
            self.context.wait(max(0, due_at + 1 - self.context.clock.ms))

    async def _work_off(self) -> None:
        """Go on until nobody has anything to do."""
        is_idle = False
        while not is_idle:
            choices = list(self._choices())
            is_idle = {choice.name for choice in choices} == {"idle"} and not self._in_flight()
            await self._step(choices)

    def _in_flight(self) -> int:
        return self._leaders.now.dispatcher.in_flight

    async def _close(self) -> None:
        for life in self._owners.lives:
            life.crash()
        self._recorders.close()
        self.context.server.close()
        await self._leaders.close()


async def quiet() -> None:
    """Let everything go on that can without the play."""
    ready = getattr(asyncio.get_running_loop(), "_ready")  # noqa: B009 - private, and exactly this is wanted
    while True:
        await asyncio.sleep(0)
        if not ready:
            return


def play(client: redis.Redis, seed: int, check: Check = check_final_state) -> PlayContext:
    """One play on an empty server that has the library."""
    client.flushall()
    it = Play(client, seed, check)
    asyncio.run(it.run())
    return it.context
