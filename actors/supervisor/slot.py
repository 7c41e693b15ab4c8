"""One actor as the supervisor sees it: a name, a process behind it, and work on its way to it.

A slot outlives its process. When the process is lost, a new one takes the slot over under a new
epoch, hosts the slot's chats and gets the unanswered batches again, in order: the commit function
sees to it that nothing has its effect twice.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, NamedTuple, Protocol

import structlog

from actors.messages import Handled, Hello, Task, pack_tasks, unpack_handled

log = structlog.get_logger()

PIPELINED_MAX: Final = 2
"""Batches on their way to one actor: one at work, one waiting at its door."""

REPLACE_PAUSE_S: Final = 0.5

CHECK_S: Final = 0.5
"""How often an actor without work is looked after: its timers must not die unnoticed."""


class Process(Protocol):
    """The process behind a slot."""

    async def hello(self) -> Hello:
        """Who it is; the first answer means that it is up."""

    async def host(self, chats: Mapping[str, str]) -> None:
        """Take over open chats (chat → user)."""

    async def watch(self, users: list[str]) -> None:
        """Keep the timers of accounts that have chats here."""

    async def drop(self, chats: list[str]) -> None:
        """These chats live elsewhere from now on."""

    def handle(self, batch: bytes) -> Awaitable[bytes]:
        """Handle a batch; calls are worked off in the order they were made."""

    async def check(self) -> None:
        """Raise if it is gone; called now and then while there is no work for it."""

    def kill(self) -> None:
        """End it at once."""


class Batch(NamedTuple):
    """Work for one actor, and what to do with its answer."""

    tasks: list[Task]
    done: Callable[["Slot", "Batch", Handled], None]


Spawn = Callable[[str], Awaitable[Process]]
Hosting = Callable[[str], Mapping[str, str]]


class Slot:
    """A named place for an actor process, with a queue in front of it."""

    def __init__(self, name: str, spawn: Spawn, hosting: Hosting) -> None:
        """A slot whose process is made by ``spawn`` and hosts the chats in ``hosting``."""
        self.name = name
        self.hello: Hello | None = None
        self.restarts = 0
        self._spawn = spawn
        self._hosting = hosting
        self._process: Process | None = None
        self._number = 0
        self._waiting: deque[Batch] = deque()
        self._sent: deque[tuple[Batch, Awaitable[bytes]]] = deque()
        self.on_up: Callable[[], None] = lambda: None
        self._watch: set[str] = set()
        self._host: dict[str, str] = {}
        self._drop: set[str] = set()
        self._wake = asyncio.Event()
        self._up = asyncio.Event()
        self._task = asyncio.create_task(self._run(), name=f"slot {name}")

    def send(self, batch: Batch) -> None:
        """Give the actor a batch, behind those it has."""
        self._waiting.append(batch)
        self._wake.set()

    def watch(self, user: str) -> None:
        """Let the actor keep an account's timer."""
        self._watch.add(user)
        self._wake.set()

    def host(self, chat: str, user: str) -> None:
        """Let the actor have an open chat from elsewhere."""
        self._host[chat] = user
        self._wake.set()

    def drop(self, chat: str) -> None:
        """Take a chat from the actor; another one has it."""
        self._drop.add(chat)
        self._wake.set()

    async def wait_up(self) -> None:
        """Wait until the process is there."""
        await self._up.wait()

    def is_up(self) -> bool:
        """Whether the process is there."""
        return self._up.is_set()

    async def close(self) -> None:
        """End the process; what is on its way is lost here and comes again."""
        while not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task], timeout=CHECK_S)
        if self._process is not None:
            self._process.kill()

    async def _run(self) -> None:
        while True:
            try:
                await self._serve()
            except Exception as error:
                self._lost(error)
                await asyncio.sleep(REPLACE_PAUSE_S)

    async def _serve(self) -> None:
        process = self._process = await self._spawn(self.name)
        self._number = 0
        self.hello = await process.hello()
        await process.host(self._hosting(self.name))
        self._up.set()
        self.on_up()
        log.info("actor.ready", actor=self.name, pid=self.hello.pid, restarts=self.restarts)
        while True:
            await self._tell(process)
            self._submit(process)
            if self._sent:
                await self._take_answer()
            else:
                self._wake.clear()
                if not (self._waiting or self._watch or self._host or self._drop):
                    await self._idle(process)

    async def _idle(self, process: Process) -> None:
        """Wait for work; an actor that died meanwhile is replaced, since it has timers."""
        try:
            # Not wait_for: until Python 3.12 that can swallow the cancellation of close().
            async with asyncio.timeout(CHECK_S):
                await self._wake.wait()
        except TimeoutError:
            await process.check()

    async def _tell(self, process: Process) -> None:
        """What chats and accounts it has, before it gets more work on them."""
        if self._drop:
            drop, self._drop = self._drop, set()
            await process.drop(sorted(drop))
        if self._host:
            host, self._host = self._host, {}
            await process.host(host)
        if self._watch:
            watch, self._watch = self._watch, set()
            await process.watch(sorted(watch))

    def _submit(self, process: Process) -> None:
        while self._waiting and len(self._sent) < PIPELINED_MAX:
            batch = self._waiting.popleft()
            self._number += 1
            self._sent.append((batch, process.handle(pack_tasks(self._number, batch.tasks))))

    async def _take_answer(self) -> None:
        batch, answer = self._sent[0]
        handled = unpack_handled(await answer)
        self._sent.popleft()
        batch.done(self, batch, handled)

    def _lost(self, error: Exception) -> None:
        """Put the unanswered batches back, in order; a new process will get them."""
        self._up.clear()
        self.restarts += 1
        for batch, _ in reversed(self._sent):
            self._waiting.appendleft(batch)
        self._sent.clear()
        self._watch.update(
            task.user for batch in self._waiting for task in batch.tasks if task.user
        )
        log.warning(
            "actor.lost",
            actor=self.name,
            error=str(error).splitlines()[:1],
            again=len(self._waiting),
        )
        if self._process is not None:
            self._process.kill()
