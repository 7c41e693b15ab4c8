"""What the client does, once for threads and asyncio: see ``meterd._io`` for how."""

import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
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
    UnknownChatError,
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
from meterd._routing import Routing
from meterd.redis_servers import RedisServers
from meterd.rules.redis_keys import Keys
from meterd.rules.snapshots import no_wallet, not_started

TIMEOUT_S: Final = 10.0
REPLIES_READ_MAX: Final = 1_000

T = TypeVar("T")


class Core:
    """One client: its reply stream, and the commands that wait for replies."""

    def __init__(self, io: Io, servers: RedisServers, in_flight_max: int) -> None:
        """At most ``in_flight_max`` commands wait for replies at once."""
        self.io = io
        self.routing = Routing(servers)
        self.reply_to = uuid4().hex
        self.pending = Pending(io.flag())
        self.is_closed = False
        self._handles = io.handles(in_flight_max)
        self._read_up_to: dict[Keys, str] = {}
        self._error: Exception | None = None

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
        command_id = uuid4().hex if id is None else id
        flat = flat_fields({**fields, "id": command_id, "reply_to": self.reply_to})
        deadline = time.monotonic() + timeout_s
        if not await self.io.enter(self._handles, timeout_s):
            raise BusyError("too many commands are waiting for replies; nothing was sent")
        try:
            keys, flat = await self._placed(command_id, fields, flat, deadline)
            reply = await self._ask(keys, command_id, flat, deadline, timeout_s)
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
        command_id = uuid4().hex if id is None else id
        flat = flat_fields({**fields, "id": command_id})
        deadline = time.monotonic() + timeout_s
        keys, flat = await self._placed(command_id, fields, flat, deadline)
        return Sent(command_id, await self._append(keys, command_id, flat, deadline))

    async def chat(self, chat_id: str) -> ChatSnapshot:
        """The chat's snapshot: Redis, Postgres, else ``not_started``."""
        self._check_open()
        if is_identifier("chat_id", chat_id):  # nothing else can have started
            raw = await self._read(lambda: self.routing.snapshot(chat_id, self.io))
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
            raw = await self._read(lambda: self._wallet(user_id))
            if raw is not None:
                return read_wallet(raw)
        return msgspec.convert(no_wallet(user_id), WalletSnapshot)

    async def read_replies(self, url: str) -> None:
        """Hand out a server's replies until closed: its one reader. At rest while nobody waits."""
        pauses = pauses_s()
        while True:
            await self.io.wait(self.pending.wanted)
            if self.is_closed:
                return
            try:
                await self._read_replies_once(url)
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

    async def _placed(
        self, command_id: str, fields: Mapping[str, object], flat: list[bytes], deadline: float
    ) -> tuple[Keys, list[bytes]]:
        """Where a command goes, and what its entry holds: with several partitions, its user."""
        try:
            place = await self.persist(
                deadline, lambda: self.routing.of_command(fields, self.io, self._owner)
            )
        except redis.RedisError as error:
            raise _not_confirmed(command_id, error) from error
        if place is None:
            chat_id = fields["chat_id"]
            raise UnknownChatError(
                f"unknown_chat: no partition knows chat {chat_id}; nothing was sent. If it has "
                "ended more than a day ago, say whose it is: user_id=",
                command_id,
            )
        keys, placed = place
        if placed is fields or fields.get("user_id") is not None:
            return keys, flat
        return keys, [*flat, b"user_id", str(placed["user_id"]).encode()]

    async def _owner(self, chat_id: str) -> str:
        record = await self.io.record(chat_id)
        return (record.user_id or "") if record is not None else ""

    async def _wallet(self, user_id: str) -> Any:
        keys = await self.routing.of_user(user_id, self.io.call)
        return await self.io.call(keys.partition, "GET", keys.wallet(user_id))

    async def _ask(
        self, keys: Keys, command_id: str, flat: list[bytes], deadline: float, timeout_s: float
    ) -> AnyReply:
        url = self.routing.servers.url_of(keys.partition)
        self.io.serve(url, partial(self.read_replies, url))
        waiting = self.pending.add(_slot(keys, command_id), self.io.future())
        try:
            entry = await self._append(keys, command_id, flat, deadline)
            self.pending.expect(waiting, entry)
            left_s = max(0.0, deadline - time.monotonic())
            try:
                return await self.io.result(waiting.future, left_s)
            except TimeoutError:
                raise NoReplyError(command_id, entry, timeout_s) from self._error
        finally:
            self.pending.remove(waiting)

    async def _append(self, keys: Keys, command_id: str, flat: list[bytes], deadline: float) -> str:
        """XADD, again with the same id and content where the answer got lost."""
        try:
            entry = await self.persist(
                deadline,
                lambda: self.io.call(keys.partition, "XADD", keys.commands, "*", *flat),
            )
        except redis.RedisError as error:
            raise _not_confirmed(command_id, error) from error
        return str(entry.decode())

    async def _read(self, attempt: Callable[[], Awaitable[T]]) -> T:
        try:
            return await self.persist(time.monotonic() + TIMEOUT_S, attempt)
        except redis.RedisError as error:
            raise UnavailableError(f"Redis does not answer: {error}") from error

    async def _read_replies_once(self, url: str) -> None:
        partitions = await self.routing.partitions(self.io.block)
        numbers = self.routing.servers.groups(partitions)[url]
        places = {keys.reply(self.reply_to): keys for keys in map(Keys, numbers)}
        read_up_to = [self._read_up_to.get(keys, "0-0") for keys in places.values()]
        answer = await self.io.block(
            numbers[0],
            *("XREAD", "COUNT", REPLIES_READ_MAX, "BLOCK", BLOCK_MS, "STREAMS"),
            *places,
            *read_up_to,
        )
        for stream, entries in answer or ():
            keys = places[stream.decode()]
            for entry, fields in entries:
                self._read_up_to[keys] = entry.decode()
                self._deliver(keys, fields)

    def _deliver(self, keys: Keys, fields: Mapping[bytes, bytes]) -> None:
        try:
            reply = read_reply(fields)
        except (KeyError, ValueError, msgspec.MsgspecError) as error:
            self._error = MeterError(f"an unreadable reply: {error!r}")
            return
        self.pending.deliver(_slot(keys, reply.id), reply)

    def _check_open(self) -> None:
        if self.is_closed:
            raise ClosedError("this client was closed; make a new one")


def _slot(keys: Keys, command_id: str) -> str:
    """Where a reply is waited for: an id counts within its partition."""
    return f"{keys.partition}:{command_id}"


def _not_confirmed(command_id: str, error: redis.RedisError) -> NotConfirmedError:
    return NotConfirmedError(
        f"Redis did not confirm command {command_id} ({error}); it may be in the queue: "
        "send it again with the same id",
        command_id,
    )
