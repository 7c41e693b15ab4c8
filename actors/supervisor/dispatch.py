"""From entries to batches: each to the actor of its chat, in an order that keeps the fold's."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

from actors.messages import Handled, Task
from actors.rules import outcomes
from actors.rules.command import Command, Invalid
from actors.rules.state import Chat
from actors.supervisor.order import Order, keys_of
from actors.supervisor.placement import Placement
from actors.supervisor.slot import Batch, Slot

OPENING: Final = ("start", "adopt")


Find = Callable[[Sequence[str]], Awaitable[dict[str, Chat]]]
NewSlot = Callable[[], Slot]


class Bounds(NamedTuple):
    """How far the dispatcher goes."""

    in_flight_max: int
    """Entries on their way at once; a batch more than that, as a batch is taken whole."""
    spares: int
    """Warm actors without a chat."""


class Dispatcher:
    """Routes commands to slots and keeps the books on what is on its way."""

    def __init__(self, placement: Placement, find: Find, new_slot: NewSlot, limits: Bounds) -> None:
        """Place chats by ``placement``, ask ``find`` for those that are not open."""
        self.placement = placement
        self.slots: dict[str, Slot] = {}
        self.tally: Counter[str] = Counter()
        self._find = find
        self._new_slot = new_slot
        self._limits = limits
        self._in_flight = 0
        self._order = Order()
        self._moved = asyncio.Event()
        self._gathered: dict[str, list[Task]] = {}
        self._archive: dict[str, Chat | None] = {}

    @property
    def in_flight(self) -> int:
        """How many entries are on their way."""
        return self._in_flight

    def is_placed(self, chat_id: str) -> bool:
        """Whether the chat is open, or on its way to be."""
        return self.placement.actor_of(chat_id) is not None

    async def room(self) -> None:
        """Wait until there is room for more work: back-pressure to the queue."""
        await self._until(lambda: self._in_flight < self._limits.in_flight_max)

    async def drain(self) -> None:
        """Wait until nothing is on its way."""
        await self._until(lambda: self._in_flight == 0)

    async def dispatch(self, entries: list[Command | Invalid]) -> None:
        """Send entries on their way, in stream order; waits where order demands it."""
        unplaced = {
            entry.chat_id
            for entry in entries
            if isinstance(entry, Command) and entry.chat_id and not self.is_placed(entry.chat_id)
        }
        self._archive = dict.fromkeys(unplaced) | await self._find(sorted(unplaced))
        for entry in entries:
            if isinstance(entry, Invalid):
                self._gather(self._anyone(""), Task("", None, invalid=entry))
            else:
                await self._route(entry, await self._known(entry.chat_id))
        self._flush()

    async def _known(self, chat_id: str) -> Chat | None:
        """The chat if it is not open; one that has closed since the batch was read, too."""
        if not chat_id or self.is_placed(chat_id):
            return None
        if chat_id not in self._archive:
            self._archive[chat_id] = (await self._find([chat_id])).get(chat_id)
        return self._archive[chat_id]

    async def _route(self, command: Command, known: Chat | None) -> None:
        user = self._user_of(command, known)
        keys = list(keys_of(user, command))
        actor, refuse = await self._target(command, user)
        while not self._order.free(keys, (user, actor)):
            await self._step()
            actor, refuse = await self._target(command, user)
        if command.type in OPENING and not refuse and not self.is_placed(command.chat_id):
            self.placement.place(command.chat_id, user, actor, reserved=True)
            self._archive.pop(command.chat_id, None)  # what was found is over from here on
            self.keep_spares()
        self._order.enter(keys, (user, actor))
        moved = self.placement.last_of(user) not in (None, actor)
        self._gather(actor, Task(user, command, None, known, refuse, moved))

    def _user_of(self, command: Command, known: Chat | None) -> str:
        if command.user_id:
            return command.user_id
        owner = self.placement.user_of(command.chat_id)
        return owner or (known.user_id if known else "")

    async def _target(self, command: Command, user: str) -> tuple[str, str]:
        """The actor for a command, and the outcome it gets if it is a start without room."""
        owner = self.placement.user_of(command.chat_id) if command.chat_id else None
        if owner == user:
            return self.placement.actor_of(command.chat_id) or "", ""
        if command.type in OPENING and owner is None:
            return await self._place(user)
        return self._anyone(user), ""

    async def _place(self, user: str) -> tuple[str, str]:
        if self.placement.wants_actor():
            self.grow()
        actor = self.placement.choose(user)
        if actor is None and self._in_flight:
            # What is on its way may end chats; only a full house after all that is full.
            self._flush()
            await self.drain()
            actor = self.placement.choose(user)
        if actor is None:
            return self._anyone(user), outcomes.AT_CAPACITY
        return actor, ""

    def _anyone(self, user: str) -> str:
        """An actor for what concerns no chat that is placed: the user's, else any."""
        home = self.placement.home(user) if user else None
        if home is not None:
            return home
        lane = self._order.lane_of(f"u{user}")
        return lane[1] if lane else self._least_busy()

    def _least_busy(self) -> str:
        return min(
            self.slots,
            key=lambda name: (not self.slots[name].is_up(), len(self._gathered.get(name, ()))),
        )

    def keep_spares(self) -> None:
        """Keep warm actors ready, and at least one actor at all, as far as there may be more."""
        wanted = self._limits.spares
        while self.placement.may_grow() and (not self.slots or self.placement.spares() < wanted):
            self.grow()

    def grow(self) -> Slot:
        """Begin to start one actor more."""
        slot = self._new_slot()
        self.slots[slot.name] = slot
        self.placement.add_actor(slot.name)
        return slot

    def _gather(self, actor: str, task: Task) -> None:
        self._in_flight += 1
        self._gathered.setdefault(actor, []).append(task)

    def _flush(self) -> None:
        gathered, self._gathered = self._gathered, {}
        for actor, tasks in gathered.items():
            self.slots[actor].send(Batch(tasks, self._done))

    def _done(self, slot: Slot, batch: Batch, handled: Handled) -> None:
        """A batch has had its effect: take in what it opened and ended, let others follow."""
        for task in batch.tasks:
            if task.command is not None:
                self._order.leave(keys_of(task.user, task.command))
        self._in_flight -= len(batch.tasks)
        for user, open_chats in handled.open_chats.items():
            self.placement.sync(user, open_chats)
        self._drop_unopened(batch)
        for task in batch.tasks:
            self.placement.handled_by(task.user, slot.name)
        self._hand_over(handled.unwatched)
        self.tally.update(handled.tally.outcomes)
        self._moved.set()

    def _drop_unopened(self, batch: Batch) -> None:
        for task in batch.tasks:
            command = task.command
            if (
                command
                and command.type in OPENING
                and not self._order.lane_of(f"c{command.chat_id}")
            ):
                self.placement.drop_reservation(command.chat_id)

    def _hand_over(self, users: list[str]) -> None:
        """Somebody who has chats of these users keeps their timers."""
        for user in users:
            home = self.placement.home(user)
            if home is not None:
                self.slots[home].watch(user)

    async def _step(self) -> None:
        """Let what is on its way move on by a batch."""
        self._flush()
        self._moved.clear()
        await self._moved.wait()

    async def _until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            await self._step()
