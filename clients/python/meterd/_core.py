"""What the client does, once for threads and asyncio: see ``meterd._io`` for how."""

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar
from uuid import uuid4

import msgspec
import redis

from meterd._errors import (
    BusyError,
    ClosedError,
    MeterError,
    NoReplyError,
    NotConfirmedError,
    UnavailableError,
    refusal,
)
from meterd._fields import flat_fields, is_identifier
from meterd._io import BLOCK_MS, Io, is_passing, pauses_s
from meterd._pending import AnyReply, Pending
from meterd._results import (
    ChatSnapshot,
    Sent,
    WalletSnapshot,
    read_chat,
    read_reply,
    read_wallet,
)
from meterd.rules.redis_keys import Keys
from meterd.rules.snapshots import no_wallet, not_started

TIMEOUT_S: Final = 10.0
REPLIES_READ_MAX: Final = 1_000

T = TypeVar("T")


class Core:
    """One client: its reply stream, and the commands that wait for replies."""

    def __init__(self, io: Io, in_flight_max: int) -> None:
        """At most ``in_flight_max`` commands wait for replies at once."""
        self.io = io
        self.keys = Keys()
        self.reply_to = uuid4().hex
        self.pending = Pending(io.flag())
        self.is_closed = False
        self._handles = io.handles(in_flight_max)
        self._read_up_to = "0-0"
        self._error: Exception | None = None
        io.serve(self.read_replies)

    def close(self) -> None:
        """No more replies, no more commands; whoever waits is told."""
        self.is_closed = True
        self.pending.close()

    async def command(
        self,
        fields: Mapping[str, object],
        id: str | None = None,  # noqa: A002 - the contract's name
        timeout_s: float = TIMEOUT_S,
    ) -> AnyReply:
        """Send a command and wait for its reply. Raises the error of an outcome that is not ok."""
        self._check_open()
        command_id, flat = _entry_of(fields, id, self.reply_to)
        deadline = time.monotonic() + timeout_s
        if not await self.io.enter(self._handles, timeout_s):
            raise BusyError("too many commands are waiting for replies; nothing was sent")
        try:
            reply = await self._ask(command_id, flat, deadline, timeout_s)
        finally:
            self._handles.release()
        if not reply.is_ok:
            raise refusal(reply)
        return reply

    async def enqueue(
        self,
        fields: Mapping[str, object],
        id: str | None = None,  # noqa: A002 - the contract's name
        timeout_s: float = TIMEOUT_S,
    ) -> Sent:
        """Send a command and wait for no reply: none is asked for."""
        self._check_open()
        command_id, flat = _entry_of(fields, id, None)
        deadline = time.monotonic() + timeout_s
        return Sent(command_id, await self._append(command_id, flat, deadline))

    async def chat(self, chat_id: str) -> ChatSnapshot:
        """The chat's snapshot: Redis, Postgres, else ``not_started``."""
        self._check_open()
        if is_identifier("chat_id", chat_id):  # nothing else can have started
            raw = await self._read("GET", self.keys.chat(chat_id))
            if raw is not None:
                return read_chat(raw)
            record = await self.io.record(chat_id)
            if record is not None:
                return record
        return msgspec.convert({**not_started(chat_id), "source": None}, ChatSnapshot)

    async def wallet(self, user_id: str) -> WalletSnapshot:
        """The account's snapshot."""
        self._check_open()
        if is_identifier("user_id", user_id):
            raw = await self._read("GET", self.keys.wallet(user_id))
            if raw is not None:
                return read_wallet(raw)
        return msgspec.convert(no_wallet(user_id), WalletSnapshot)

    async def read_replies(self) -> None:
        """Hand out replies until closed: the client's one reader. At rest while nobody waits."""
        pauses = pauses_s()
        while True:
            await self.io.wait(self.pending.wanted)
            if self.is_closed:
                return
            try:
                await self._read_replies_once()
            except Exception as error:  # the reader goes on, whatever it was; NoReplyError names it
                self._error = error
                await self.io.sleep(next(pauses))
            else:
                self._error, pauses = None, pauses_s()

    async def persist(self, deadline: float, attempt: Callable[[], Awaitable[T]]) -> T:
        """Try until it works, until it can't, or until the deadline."""
        pauses = pauses_s()
        while True:
            try:
                return await attempt()
            except redis.RedisError as error:
                pause_s = next(pauses)
                late = time.monotonic() + pause_s >= deadline
                if late or self.is_closed or not is_passing(error):
                    raise
            await self.io.sleep(pause_s)

    async def _ask(
        self, command_id: str, flat: list[bytes], deadline: float, timeout_s: float
    ) -> AnyReply:
        waiting = self.pending.add(command_id, self.io.future())
        try:
            entry = await self._append(command_id, flat, deadline)
            self.pending.expect(waiting, entry)
            left_s = max(0.0, deadline - time.monotonic())
            try:
                return await self.io.result(waiting.future, left_s)
            except TimeoutError:
                raise NoReplyError(command_id, entry, timeout_s) from self._error
        finally:
            self.pending.remove(waiting)

    async def _append(self, command_id: str, flat: list[bytes], deadline: float) -> str:
        """XADD, again with the same id and content where the answer got lost."""
        try:
            entry = await self.persist(
                deadline, lambda: self.io.call("XADD", self.keys.commands, "*", *flat)
            )
        except redis.RedisError as error:
            raise NotConfirmedError(
                f"Redis did not confirm command {command_id} ({error}); it may be in the queue: "
                "send it again with the same id",
                command_id,
            ) from error
        return str(entry.decode())

    async def _read(self, *command: str) -> Any:
        try:
            return await self.persist(time.monotonic() + TIMEOUT_S, lambda: self.io.call(*command))
        except redis.RedisError as error:
            raise UnavailableError(f"Redis does not answer: {error}") from error

    async def _read_replies_once(self) -> None:
        stream = self.keys.reply(self.reply_to)
        answer = await self.io.block(
            *("XREAD", "COUNT", REPLIES_READ_MAX, "BLOCK", BLOCK_MS),
            *("STREAMS", stream, self._read_up_to),
        )
        for _, entries in answer or ():
            for entry, fields in entries:
                self._read_up_to = entry.decode()
                self._deliver(fields)

    def _deliver(self, fields: Mapping[bytes, bytes]) -> None:
        try:
            reply = read_reply(fields)
        except (KeyError, ValueError, msgspec.MsgspecError) as error:
            self._error = MeterError(f"an unreadable reply: {error!r}")
            return
        self.pending.deliver(reply)

    def _check_open(self) -> None:
        if self.is_closed:
            raise ClosedError("this client was closed; make a new one")


def _entry_of(
    fields: Mapping[str, object], id_: str | None, reply_to: str | None
) -> tuple[str, list[bytes]]:
    """A command's id, and what its entry in the stream holds: names and values in turn."""
    command_id = uuid4().hex if id_ is None else id_
    return command_id, flat_fields({**fields, "id": command_id, "reply_to": reply_to})
