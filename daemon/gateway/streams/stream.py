"""A stream as an answer: the snapshot, or what was missed; then what happens."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Final

import msgspec
import redis
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from daemon.gateway.authorization import WHOLE, Caller
from daemon.gateway.errors import redis_unavailable
from daemon.gateway.partition_keys import PartitionKeys
from daemon.gateway.queries import Queries
from daemon.gateway.queue_clock import QueueClock
from daemon.gateway.redis_reader import RedisReader
from daemon.gateway.streams.event_broadcaster import EventBroadcaster
from daemon.gateway.streams.messages import sse
from daemon.gateway.streams.places import EntryKey, FeedPlace, place_after, read_place
from daemon.gateway.streams.subscriber import Subscriber
from daemon.gateway.views import owner_of, pack, wallet_json
from meterd import AsyncMeter, Event, EventsLostError
from meterd.rules.commands import entry_key
from meterd.rules.model import ENDED
from meterd.rules.redis_keys import partition_of_key
from meterd.rules.snapshots import not_started
from persistence.redis.client import AsyncRedisClients
from persistence.redis.commit import is_readable, unpack_state

MISSED_MAX: Final = 2_000
"""Events that are told one by one to whoever comes back; after more a new snapshot says it all."""
SEARCHES_MAX: Final = 4
CHATS_MAX: Final = 100
"""Chats that one stream follows, or begins with."""
RECENT_MAX: Final = 1_000
"""Events among which a chat is looked for that may not be in Postgres yet, of all partitions."""
RECENT_MIN: Final = 100
"""The same, of each partition."""

_CANCEL_AGAIN_S: Final = 1.0

Snapshot = Callable[[], Awaitable[bytes]]

_HEADERS: Final = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would hold messages back
}


class Streams:
    """Opens streams."""

    def __init__(
        self,
        clients: AsyncRedisClients,
        parts: tuple[EventBroadcaster, RedisReader, AsyncMeter, QueueClock, Queries],
        keys: PartitionKeys,
        messages_max: int,
    ) -> None:
        """``clients`` read snapshots together with their place in the events stream."""
        self._clients = clients
        self._broadcaster, self._redis_reader, self._meter, self._clock, self._queries = parts
        self._keys = keys
        self._messages_max = messages_max
        self._searches = asyncio.Semaphore(SEARCHES_MAX)

    def of_user(self, user_id: str, caller: Caller, last_id: str) -> "EventStream":
        """All that happens to a user's account and chats."""
        subscriber = Subscriber(caller, user_id, (), self._messages_max)
        return self._open(subscriber, last_id, partial(self._user_snapshot, subscriber, user_id))

    def of_chat(self, chat_id: str, caller: Caller, last_id: str) -> "EventStream":
        """All that happens to a chat, and to the wallet that pays for it."""
        subscriber = Subscriber(caller, None, (chat_id,), self._messages_max)
        return self._open(subscriber, last_id, partial(self._chat_snapshot, subscriber))

    def of_chats(self, chat_ids: Collection[str], caller: Caller, last_id: str) -> "EventStream":
        """All that happens to these chats, and to the wallets that pay for them."""
        assert 0 < len(chat_ids) <= CHATS_MAX, "the route holds it"
        subscriber = Subscriber(caller, None, chat_ids, self._messages_max)
        return self._open(subscriber, last_id, partial(self._chats_snapshot, subscriber))

    def of_advisor(self, advisor_id: str, caller: Caller, last_id: str) -> "EventStream":
        """All that happens to an advisor's chats."""
        subscriber = Subscriber(caller, None, (), self._messages_max, advisor_id)
        snapshot = partial(self._advisor_snapshot, subscriber, advisor_id)
        return self._open(subscriber, last_id, snapshot)

    def _open(self, subscriber: Subscriber, last_id: str, snapshot: Snapshot) -> "EventStream":
        self._broadcaster.check_room(subscriber.caller)
        frames = self._frames(subscriber, last_id, snapshot)
        return EventStream(self._broadcaster.joined(subscriber), frames)

    async def _frames(
        self, subscriber: Subscriber, last_id: str, snapshot: Snapshot
    ) -> AsyncIterator[bytes]:
        await self._broadcaster.begun()
        yield await self._beginning(subscriber, last_id, snapshot)
        while chunk := await subscriber.next():
            yield chunk

    async def _beginning(self, subscriber: Subscriber, last_id: str, snapshot: Snapshot) -> bytes:
        """What was missed since ``last_id``; the snapshot if there is none, or it is too old."""
        place = read_place(last_id, len(self._keys))
        if place is not None:
            await self._find_owners(subscriber)
            missed = await self._missed(subscriber, place)
            if missed is not None:
                return await self._told(subscriber, last_id, missed)
        return await snapshot()

    async def _find_owners(self, subscriber: Subscriber) -> None:
        names = sorted(subscriber.chat_ids)
        found = await self._redis_reader.read(*self._keys.of_chats(names)) if names else []
        for name, raw in zip(names, self._keys.found(found), strict=True):
            await self._visible(subscriber, name, raw)

    async def _visible(
        self, subscriber: Subscriber, chat_id: str, raw: bytes | None
    ) -> bytes | None:
        """The chat, if it has started and may be seen; then its account is followed too.

        It may be in Postgres alone. Whoever may not see it waits as long as for one that is not
        there.
        """
        if self._follow_owner(subscriber, raw):
            return raw
        seen = await self._queries.view(chat_id, subscriber.caller)
        return seen.snapshot if seen and self._follow_owner(subscriber, seen.snapshot) else None

    def _follow_owner(self, subscriber: Subscriber, raw: bytes | None) -> bool:
        if raw is None:
            return False
        owner = owner_of(raw)
        view = subscriber.caller.view(owner.user_id, owner.advisor_id)
        if view is None:
            return False
        self._broadcaster.follow_owner(subscriber, owner.user_id, with_account=view == WHOLE)
        return True

    async def _missed(self, subscriber: Subscriber, place: FeedPlace) -> list[Event] | None:
        known = self._broadcaster.since(place)
        if known is None:
            async with self._searches:
                known = await self._search(place)
        if known is None:
            return None
        mine = [event for event in known if subscriber.concerns(event)]
        subscriber.skip_to = place_after(known[-1].id, len(self._keys)) if known else place
        if len(mine) > MISSED_MAX and subscriber.chat_ids:
            # Only those that may be seen count: how much happens in a stranger's chat is not told.
            await self._find_owners(subscriber)
            mine = [event for event in mine if event.user_id in subscriber.accounts]
        return mine if len(mine) <= MISSED_MAX else None

    async def _search(self, place: FeedPlace) -> list[Event] | None:
        """What Redis has after a place; None if that is not all, or the place is of another one."""
        last, _ = await self._together(whole=True)
        if not last.covers(place):
            return None
        found: list[Event] = []
        try:
            async with self._meter.events(after=str(place)) as events:
                while not place_after(events.after, len(self._keys)).covers(last):
                    found += await events.batch()
        except EventsLostError:
            return None
        return found

    async def _told(self, subscriber: Subscriber, last_id: str, missed: list[Event]) -> bytes:
        """The events missed, and the place: even if there was nothing, it has moved on."""
        messages = await self._broadcaster.messages(missed)
        frames = [subscriber.frame(message) for message in messages]
        return b"".join(frame for frame in frames if frame) or b": nothing since %s\n\n" % (
            last_id.encode()
        )

    async def _user_snapshot(self, subscriber: Subscriber, user_id: str) -> bytes:
        """The wallet and the open chats, and the place in the stream that they are as of."""
        keys = self._keys.of_user(user_id)
        place, (wallet, account) = await self._together(keys.wallet(user_id), keys.account(user_id))
        subscriber.skip_to = place
        _, state = unpack_state(account, user_id)
        names = sorted(state.chats) if is_readable(state) else []
        chats = await self._redis_reader.read(*map(keys.chat, names)) if names else []
        return self._frame(place, wallet_json(wallet, account, user_id), list(filter(None, chats)))

    async def _chat_snapshot(self, subscriber: Subscriber) -> bytes:
        place, chats, wallets = await self._chats_now(subscriber)
        return self._frame(place, wallets[0] if wallets else b"null", chats)

    async def _chats_snapshot(self, subscriber: Subscriber) -> bytes:
        place, chats, wallets = await self._chats_now(subscriber)
        head = b'{"now":%d,"wallets":[%s]' % (self._clock.now_ms(), b",".join(wallets))
        return _snapshot_frame(place, head, chats)

    async def _advisor_snapshot(self, subscriber: Subscriber, advisor_id: str) -> bytes:
        """The open chats, without wallets: their users are many."""
        names = await self._open_of_advisor(advisor_id)
        of_chats = self._keys.of_chats(names)
        place, found = await self._together(*of_chats, optional=len(of_chats))
        subscriber.skip_to = place
        chats = [raw for raw in self._keys.found(found) if raw and _is_open_of(raw, advisor_id)]
        head = b'{"now":%d,"wallets":[]' % self._clock.now_ms()
        return _snapshot_frame(place, head, chats[:CHATS_MAX])

    async def _open_of_advisor(self, advisor_id: str) -> list[str]:
        """Chats that may be the advisor's: of the last events, because Postgres comes later."""
        most, found = max(RECENT_MIN, RECENT_MAX // len(self._keys)), list[Any]()
        failures: list[redis.RedisError] = []
        for client, numbers in self._clients.groups(len(self._keys)):
            pipeline = client.pipeline(transaction=False)
            for number in numbers:
                pipeline.xrevrange(self._keys[number].events, count=most)
            try:
                found += await pipeline.execute()
            except redis.RedisError as error:
                failures.append(error)
        if failures and not found:
            raise redis_unavailable(failures[0])
        events = (fields for entries in found for _, fields in entries)
        started = [f[b"chat_id"].decode() for f in events if f[b"event"] == b"chat.started"]
        recorded = await self._queries.open_of_advisor(advisor_id, CHATS_MAX)
        return list(dict.fromkeys([*started, *recorded]))

    async def _chats_now(
        self, subscriber: Subscriber
    ) -> tuple[FeedPlace, list[bytes], list[bytes]]:
        """The place among the events, and the chats and the wallets that may be seen as of it."""
        names = sorted(subscriber.chat_ids)
        of_chats = self._keys.of_chats(names)
        place, values = await self._together(*of_chats, optional=len(of_chats))
        # One after the other: those that are in Postgres alone are read from there one by one.
        seen = [
            await self._visible(subscriber, name, raw)
            for name, raw in zip(names, self._keys.found(values), strict=True)
        ]
        users = sorted(user for user, with_account in subscriber.accounts.items() if with_account)
        wallets: list[bytes] = []
        if any(seen):
            # Again, now that nothing is missed that happens to the users' other chats.
            keys = [self._keys.of_user(user) for user in users]
            of_wallets = [one.wallet(user) for one, user in zip(keys, users, strict=True)]
            of_accounts = [one.account(user) for one, user in zip(keys, users, strict=True)]
            place, values = await self._together(
                *of_chats, *of_wallets, *of_accounts, optional=len(of_chats)
            )
            again = self._keys.found(values[: len(of_chats)])
            seen = [raw and (now or raw) for raw, now in zip(seen, again, strict=True)]
            balances = values[len(of_chats) :][: len(users)]
            accounts = values[len(of_chats) + len(users) :]
            wallets = list(map(wallet_json, balances, accounts, users))
        subscriber.skip_to = place
        chats = [raw or pack(not_started(name)) for name, raw in zip(names, seen, strict=True)]
        return place, chats, wallets

    async def _together(
        self, *names: str, optional: int = 0, whole: bool = False
    ) -> tuple[FeedPlace, list[bytes | None]]:
        """Values, and the last event of each partition at the very moment they were read.

        The moment is one on each server; what is about a user is on one. Of a server that is away
        the place is where its events were followed to: nothing later of it is in the values.

        Args:
            names: the keys.
            optional: so many of the keys, the first ones, are nothing if their server is away.
            whole: whether all servers have to answer.

        Raises:
            ProblemError: a server is away that is needed.
        """
        last: list[EntryKey] = [(0, 0)] * len(self._keys)
        values: list[bytes | None] = [None] * len(names)
        wanted = self._clients.split(map(partition_of_key, names))
        groups = self._clients.servers.groups(len(self._keys))
        reads = (
            self._read_at_once(
                url,
                numbers,
                [names[place] for place in wanted.get(url, ())],
                whole or any(place >= optional for place in wanted.get(url, ())),
            )
            for url, numbers in groups.items()
        )
        answers = await asyncio.gather(*reads)
        followed = self._broadcaster.end
        for (url, numbers), answer in zip(groups.items(), answers, strict=True):
            if answer is not None:
                ends, read = answer
            elif followed is not None and any(answers):
                ends, read = [followed.entries[number] for number in numbers], []
            else:
                raise redis_unavailable(self._redis_reader.trouble or "no server answers")
            for number, end in zip(numbers, ends, strict=True):
                last[number] = end
            for place, value in zip(wanted.get(url, ()), read, strict=False):
                values[place] = value
        return FeedPlace(tuple(last)), values

    async def _read_at_once(
        self, url: str, numbers: Sequence[int], names: Sequence[str], is_needed: bool
    ) -> tuple[list[EntryKey], list[bytes | None]] | None:
        """The last event of each of the partitions on a server, and values of it.

        None if it is away and not needed.
        """
        try:
            async with self._clients.at(url).pipeline(transaction=True) as pipeline:
                for number in numbers:
                    pipeline.xrevrange(self._keys[number].events, count=1)
                if names:
                    pipeline.mget(names)
                found: list[Any] = await pipeline.execute()
        except redis.RedisError as error:
            if is_needed:
                raise redis_unavailable(error) from None
            return None
        last, read = found[: len(numbers)], found[len(numbers) :]
        ends = [entry_key(one[0][0].decode()) if one else (0, 0) for one in last]
        return ends, read[0] if read else []

    def _frame(self, place: FeedPlace, wallet: bytes, chats: list[bytes]) -> bytes:
        head = b'{"now":%d,"wallet":%s' % (self._clock.now_ms(), wallet)
        return _snapshot_frame(place, head, chats)


class EventStream(Response):
    """The answer; ends with the reader, or with its last message."""

    def __init__(
        self, membership: AbstractContextManager[None], frames: AsyncIterator[bytes]
    ) -> None:
        """Nothing is read before the answer begins; ``membership`` is held while it lasts."""
        super().__init__(None, 200, _HEADERS)
        del self.headers["content-length"]  # nobody knows how long it will be
        self._membership = membership
        self._frames = frames

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until either side is done."""
        with self._membership:
            gone = asyncio.create_task(_until_gone(receive))
            sending = asyncio.create_task(self._send(send))
            try:
                await asyncio.wait({gone, sending}, return_when=asyncio.FIRST_COMPLETED)
                if sending.done():
                    sending.result()
            finally:
                await asyncio.gather(_end(gone), _end(sending))

    async def _send(self, send: Send) -> None:
        first = await anext(self._frames)
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await send(_body(first, more=True))
        async for chunk in self._frames:
            await send(_body(chunk, more=True))
        await send(_body(b"", more=False))


def _is_open_of(raw: bytes, advisor_id: str) -> bool:
    chat = msgspec.json.decode(raw)
    return bool(chat["advisor_id"] == advisor_id and chat["status"] != ENDED)


def _snapshot_frame(place: FeedPlace, head: bytes, chats: list[bytes]) -> bytes:
    data = b'%s,"chats":[%s]}' % (head, b",".join(chats))
    return sse("snapshot", data, str(place))


async def _end(task: asyncio.Task[None]) -> None:
    """Cancel a task until it has ended: Python 3.11's ``wait_for`` may swallow a cancellation."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=_CANCEL_AGAIN_S)
    if not task.cancelled():
        task.exception()  # told already, or the reader has gone


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _body(chunk: bytes, more: bool) -> dict[str, Any]:
    return {"type": "http.response.body", "body": chunk, "more_body": more}
