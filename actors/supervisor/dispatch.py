"""From entries to batches: each to the actor of its chat, in an order that keeps the fold's.

A command that may not follow yet (its account, chat or id is on its way to another actor) stands in
line, and whatever shares one of these with it stands behind it. Everybody else goes on.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence, Set
from typing import Final, NamedTuple

import redis
import structlog

from actors.messages import BatchResult, Task
from actors.supervisor.actor_handle import ActorHandle
from actors.supervisor.batch import DispatchBatch
from actors.supervisor.gauges import OutboxBound
from actors.supervisor.in_flight_keys import InFlightKeys, keys_of
from actors.supervisor.placement import Move, Placement
from actors.supervisor.stats import SupervisorStats
from meterd.rules import outcomes
from meterd.rules.commands import OPENING, Command, InvalidCommand
from meterd.rules.model import Chat
from meterd.rules.outcomes import Outcome
from meterd.rules.replay import foreign_chat
from persistence.redis.chat_directory import ChatDirectory

log = structlog.get_logger()

RETRY_S: Final = 0.2

Find = Callable[[Sequence[str]], Awaitable[dict[str, Chat]]]
NewHandle = Callable[[], ActorHandle]


class DispatchLimits(NamedTuple):
    """How far the dispatcher goes."""

    in_flight_max: int
    """Entries on their way at once; a batch more than that, as a batch is taken whole."""
    warm_pool_size: int
    """Warm actors without a chat."""
    outbox: OutboxBound
    """What waits for Postgres: if it is too much, no chat may open, whatever room there is."""


class Target(NamedTuple):
    """Where a command goes, and the outcome it gets if it is a start without room."""

    actor: str
    refuse: Outcome | None = None


class Dispatcher:
    """Routes commands to actors and keeps the books on what is on its way."""

    def __init__(
        self,
        placement: Placement,
        find: Find,
        new_handle: NewHandle,
        limits: DispatchLimits,
        counts: SupervisorStats,
        directory: ChatDirectory | None = None,
    ) -> None:
        """Place chats by ``placement``, ask ``find`` for those that are not open.

        ``directory``: where chats are claimed before they start; none is needed without other
        partitions.
        """
        self._directory = directory
        self._unclaimed: set[str] = set()
        """Chats that may be another partition's: nobody can be asked at the moment."""
        self._unopened: set[str] = set()
        self._releasing: asyncio.Task[None] | None = None
        self.placement = placement
        self.handles: dict[str, ActorHandle] = {}
        self._find = find
        self._new_handle = new_handle
        self._limits = limits
        self._counts = counts
        self._in_flight = 0
        self._sent = 0
        self._order = InFlightKeys()
        self._moved = asyncio.Event()
        self._turn = asyncio.Lock()
        self._line: list[Command] = []
        self._line_keys: set[str] = set()
        self._line_openings = 0
        self._retry: asyncio.Task[None] | None = None
        self._has_moved = False
        self._gathered: dict[str, list[Task]] = {}
        self._closed_chats: dict[str, Chat | None] = {}

    @property
    def in_flight(self) -> int:
        """How many entries are on their way or in line."""
        return self._in_flight

    async def wait_for_capacity(self) -> None:
        """Wait until there is room for more work: back-pressure to the queue."""
        await self._until(lambda: self._in_flight < self._limits.in_flight_max)

    async def drain(self) -> None:
        """Wait until nothing is on its way."""
        await self._until(lambda: self._in_flight == 0)

    async def dispatch(self, entries: list[Command | InvalidCommand]) -> None:
        """Send entries on their way, in stream order, or put them in line."""
        async with self._turn:
            self._in_flight += len(entries)
            await self._look_up(entries)
            for entry in entries:
                if isinstance(entry, InvalidCommand):
                    self._gather(self._anyone(""), Task("", None, invalid=entry))
                else:
                    await self._send_or_line_up(entry)
            self._flush()

    def fill_warm_pool(self) -> None:
        """Keep warm actors ready, and one on its way for each chat that has none of its own.

        As far as there may be more; and at least one actor at all.
        """
        wanted = self._limits.warm_pool_size + self.placement.sharing()
        while self.placement.may_grow() and (
            not self.handles or self.placement.warm_actors() < wanted
        ):
            self.scale_up()

    def scale_up(self) -> ActorHandle:
        """Begin to start one actor more."""
        handle = self._new_handle()
        self.handles[handle.name] = handle
        self.placement.add_actor(handle.name)
        return handle

    def rebalance(self) -> None:
        """Let chats live apart: on an actor of their own if one is free, else evenly."""
        ready = {name for name, handle in self.handles.items() if handle.is_up()}
        self._move(self.placement.even_out(ready, self._is_quiet))
        for name in self.placement.empty_actors():
            if not self.handles[name].is_up():
                continue
            moved = self.placement.give_own(name, self._is_quiet)
            if moved is None:
                return
            self._move([moved])
            self.fill_warm_pool()

    def _move(self, moves: Iterable[Move]) -> None:
        for move in moves:
            self.handles[move.before].unassign(move.chat)
            self.handles[move.after].assign(move.chat, move.user)

    def _is_quiet(self, user: str) -> bool:
        return self._order.batch_of(f"u{user}") is None

    async def _look_up(self, entries: Iterable[Command | InvalidCommand]) -> None:
        """Ask once for all chats of the batch that are not open."""
        chats = {e.chat_id for e in entries if isinstance(e, Command) and e.chat_id}
        wanted = sorted(c for c in chats if self.placement.actor_of(c) is None)
        keep = {
            c.chat_id: self._closed_chats[c.chat_id]
            for c in self._line
            if c.chat_id in self._closed_chats
        }
        self._unclaimed &= keep.keys()
        opening = {e.chat_id for e in entries if isinstance(e, Command) and e.type in OPENING}
        found = await self._find_until_ok(wanted, opening) if wanted else {}
        self._closed_chats = keep | dict.fromkeys(wanted) | found

    async def _find_until_ok(
        self, chat_ids: Sequence[str], opening: Set[str] = frozenset()
    ) -> dict[str, Chat]:
        """Ask until there is an answer: entries that were read must not be dropped half-way.

        What is nowhere and would open here is claimed; another partition's chat is another user's.
        """
        while True:
            try:
                found = await self._find(chat_ids)
                unknown = [chat for chat in chat_ids if chat not in found]
                if unknown and self._directory is not None:
                    owners = await self._directory.look_up(unknown, opening)
                    found |= {chat: foreign_chat(chat, "", "") for chat in owners.elsewhere}
                    self._unclaimed = (self._unclaimed - set(unknown)) | owners.unclear
                return found
            except redis.RedisError as error:
                log.warning("archive.failed", error=str(error))
                await asyncio.sleep(RETRY_S)

    async def _known(self, command: Command) -> Chat | None:
        """Its chat if it is not open; one that has closed since it was looked up, too."""
        chat_id = command.chat_id
        if not chat_id or self.placement.actor_of(chat_id) is not None:
            return None
        if chat_id not in self._closed_chats:
            opening = {chat_id} if command.type in OPENING else frozenset[str]()
            found = await self._find_until_ok([chat_id], opening)
            self._closed_chats[chat_id] = found.get(chat_id)
        return self._closed_chats[chat_id]

    async def _send_or_line_up(self, command: Command) -> None:
        known = await self._known(command)
        user = self._user_of(command, known)
        keys = list(keys_of(user, command))
        if self._stands_behind(command, keys) or not self._try_send(command, known, user, keys):
            self._line.append(command)
            self._line_keys.update(keys)
            self._line_openings += command.type in OPENING

    def _stands_behind(self, command: Command, keys: list[str]) -> bool:
        """Whether somebody in line comes first: shares a key, or wanted a scarce place before."""
        if not self._line_keys.isdisjoint(keys):
            return True
        if not command.user_id and self.placement.is_reserved(command.chat_id):
            return True  # whose it is shows when the start has had its effect
        is_opening = command.type in OPENING
        return is_opening and 0 < self._line_openings >= self.placement.places_left()

    def _try_send(self, command: Command, known: Chat | None, user: str, keys: list[str]) -> bool:
        opens = command.type in OPENING and known is None  # what has ended opens no more
        target = self._target(command, user, opens)
        if target is None or not self._order.free(keys, (user, target.actor)):
            return False
        if opens and not target.refuse:
            self._reserve(command.chat_id, user, target.actor)
        self._order.enter(keys, (user, target.actor))
        moved = self.placement.last_of(user) not in (None, target.actor)
        self._gather(
            target.actor,
            Task(
                user=user,
                command=command,
                invalid=None,
                known=known,
                refuse=target.refuse,
                moved=moved,
            ),
        )
        return True

    def _reserve(self, chat_id: str, user: str, actor: str) -> None:
        if self.placement.actor_of(chat_id) is None:
            self.placement.place(chat_id, user, actor, reserved=True)
            self._closed_chats.pop(chat_id, None)  # what was found is over from here on
            self.fill_warm_pool()

    def _user_of(self, command: Command, known: Chat | None) -> str:
        if command.user_id:
            return command.user_id
        owner = self.placement.user_of(command.chat_id)
        return owner or (known.user_id if known else "")

    def _target(self, command: Command, user: str, opens: bool) -> Target | None:
        """The actor for a command; None while it is open whether there is room for a start."""
        owner = self.placement.user_of(command.chat_id) if command.chat_id else None
        if owner == user and owner is not None:
            return Target(self.placement.actor_of(command.chat_id) or "")
        if opens and owner is None and command.chat_id in self._unclaimed:
            return Target(self._anyone(user), outcomes.AT_CAPACITY)
        if opens and owner is None:
            return self._room_for(user)
        return Target(self._anyone(user))

    def _room_for(self, user: str) -> Target | None:
        """An actor for a new chat: a warm one, else a shared one, else one that has to start."""
        if self._limits.outbox.is_full():
            return Target(self._anyone(user), outcomes.AT_CAPACITY)
        ready = {name for name, handle in self.handles.items() if handle.is_up()}
        actor = self.placement.choose(user, ready) or self.placement.choose(user, set(self.handles))
        if actor is None and self.placement.may_grow():
            actor = self.scale_up().name
        if actor is not None:
            return Target(actor)
        # What is on its way or in line may end chats; only a full house after all that is full.
        return (
            None if self._sent or self._line else Target(self._anyone(user), outcomes.AT_CAPACITY)
        )

    def _anyone(self, user: str) -> str:
        """An actor for what concerns no chat that is placed: the user's, else any."""
        home = self.placement.home(user) if user else None
        if home is not None:
            return home
        batch = self._order.batch_of(f"u{user}") if user else None
        return batch[1] if batch else min(self.handles, key=self._business)

    def _business(self, actor: str) -> tuple[bool, int]:
        return not self.handles[actor].is_up(), len(self._gathered.get(actor, ()))

    def _gather(self, actor: str, task: Task) -> None:
        self._sent += 1
        self._gathered.setdefault(actor, []).append(task)

    def _flush(self) -> None:
        gathered, self._gathered = self._gathered, {}
        for actor, tasks in gathered.items():
            queued_ms = self._counts.ages_ms(tasks)
            self.handles[actor].send(DispatchBatch(tasks, self._done, queued_ms))

    def _done(self, actor: str, batch: DispatchBatch, result: BatchResult) -> None:
        """A batch has had its effect: take in what it opened and ended, let others follow."""
        for task in batch.tasks:
            if task.command is not None:
                self._order.leave(keys_of(task.user, task.command))
        self._in_flight -= len(batch.tasks)
        self._sent -= len(batch.tasks)
        for user, open_chats in result.open_chats.items():
            self.placement.sync(user, open_chats)
        self._drop_unopened(batch)
        for task in batch.tasks:
            self.placement.handled_by(task.user, actor)
        self._hand_over(result.untracked)
        self._limits.outbox.add(result.stats.commits)
        self._counts.add(batch.tasks, result.stats, batch.queued_ms)
        self._moved.set()
        self.rebalance()
        self._let_follow()

    def _let_follow(self) -> None:
        self._has_moved = True
        if self._line and (self._retry is None or self._retry.done()):
            self._retry = asyncio.create_task(self._work_off_line())

    async def _work_off_line(self) -> None:
        """Send what may follow now; the rest keeps its place in line.

        Once more if a batch was done meanwhile: what it made way for may have been passed already.
        """
        while self._has_moved and self._line:
            self._has_moved = False
            async with self._turn:
                line, self._line, self._line_keys, self._line_openings = self._line, [], set(), 0
                for command in line:
                    await self._send_or_line_up(command)
                self._flush()

    def _drop_unopened(self, batch: DispatchBatch) -> None:
        """Give up places kept for starts that were refused, once nobody names the chat any more.

        With any command that names it, not with the start alone: others may be behind that.
        """
        for task in batch.tasks:
            if task.chat_id and self._order.batch_of(f"c{task.chat_id}") is None:
                self.placement.drop_reservation(task.chat_id)
                if self._directory is not None and task.kind in OPENING:
                    self._unopened.add(task.chat_id)
        if self._unopened and (self._releasing is None or self._releasing.done()):
            self._releasing = asyncio.create_task(self._release_unopened())

    async def _release_unopened(self) -> None:
        """Give up claims on chats that were refused, unless somebody names them again.

        One that has ended at once has started all the same.
        """
        assert self._directory is not None, "something was claimed"
        while self._unopened:
            async with self._turn:
                chats, self._unopened = self._unopened, set()
                gone = sorted(chat for chat in chats if not self._is_named(chat))
                found = await self._find_until_ok(gone) if gone else {}
                try:
                    await self._directory.release([chat for chat in gone if chat not in found])
                except redis.RedisError as error:
                    log.warning("claims.kept", chats=len(gone), error=type(error).__name__)

    def _is_named(self, chat_id: str) -> bool:
        """Whether the chat is open, or a command that names it is on its way or in line."""
        key, is_placed = f"c{chat_id}", self.placement.actor_of(chat_id) is not None
        return is_placed or key in self._line_keys or self._order.batch_of(key) is not None

    def _hand_over(self, users: list[str]) -> None:
        """Somebody who has chats of these users keeps their timers."""
        for user in users:
            home = self.placement.home(user)
            if home is not None:
                self.handles[home].track_timer(user)

    async def _until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            self._moved.clear()
            await self._moved.wait()
