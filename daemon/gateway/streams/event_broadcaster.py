"""One place in the events stream for all readers of this process, on one Redis connection."""

import asyncio
import contextlib
import itertools
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, Final

import structlog

from daemon.gateway.authorization import WHOLE, Caller
from daemon.gateway.errors import ProblemError, redis_unavailable
from daemon.gateway.partition_keys import PartitionKeys
from daemon.gateway.queue_clock import QueueClock
from daemon.gateway.redis_reader import RedisReader
from daemon.gateway.streams.event_window import EventWindow
from daemon.gateway.streams.messages import (
    KEEP_ALIVE,
    Message,
    MovedChats,
    StoredWallet,
    messages_of,
)
from daemon.gateway.streams.places import FeedPlace, read_place
from daemon.gateway.streams.subscriber import LOST, SHUTDOWN, TOKEN_EXPIRED, Subscriber
from daemon.settings.settings import HttpSettings
from meterd import AsyncMeter, Event, EventsLostError, MeterError

log = structlog.get_logger()

WINDOW_MAX: Final = 10_000
"""Events remembered, so that who was away for a moment needs no round trip."""
RETRY_S: Final = 0.5
BEGIN_S: Final = 5.0
STUCK_S: Final = 10.0
"""How long a reader that was told the end may take to hear it."""


class EventBroadcaster:
    """Follows the events and hands them to whoever wants them."""

    def __init__(
        self,
        meter: AsyncMeter,
        live: RedisReader,
        keys: PartitionKeys,
        clock: QueueClock,
        http: HttpSettings,
    ) -> None:
        """Nothing is followed before ``keep``, and nothing is read without a reader."""
        self._meter = meter
        self._redis_reader = live
        self._keys = keys
        self._clock = clock
        self._http = http
        self._by_user: defaultdict[str, set[Subscriber]] = defaultdict(set)
        self._by_chat: defaultdict[str, set[Subscriber]] = defaultdict(set)
        self._by_advisor: defaultdict[str, set[Subscriber]] = defaultdict(set)
        self._tasks: dict[Subscriber, asyncio.Task[Any]] = {}
        self._callers: Counter[str] = Counter()
        self._wanted = asyncio.Event()
        self._begun = asyncio.Event()
        self._window: EventWindow | None = None
        """What was taken in; None while nothing is followed."""
        self.dropped = 0
        self.told = 0

    def __len__(self) -> int:
        """How many streams are open."""
        return len(self._tasks)

    def add(self, subscriber: Subscriber) -> None:
        """Hand events to a reader from now on. Raises ProblemError: there are too many."""
        self.check_room(subscriber.caller)
        task = asyncio.current_task()
        assert task is not None, "a stream is a task"
        self._tasks[subscriber] = task
        self._callers[subscriber.caller.sub] += 1
        subscriber.spoken_at_s = asyncio.get_running_loop().time()
        for chat_id in subscriber.chat_ids:
            self._by_chat[chat_id].add(subscriber)
        for user_id in subscriber.accounts:
            self._by_user[user_id].add(subscriber)
        if subscriber.advisor_id is not None:
            self._by_advisor[subscriber.advisor_id].add(subscriber)
        self._wanted.set()

    def remove(self, subscriber: Subscriber) -> None:
        """Hand it nothing more."""
        if self._tasks.pop(subscriber, None) is None:
            return
        self._callers[subscriber.caller.sub] -= 1
        if not self._callers[subscriber.caller.sub]:
            del self._callers[subscriber.caller.sub]
        _discard(self._by_chat, subscriber.chat_ids, subscriber)
        _discard(self._by_user, subscriber.accounts, subscriber)
        if subscriber.advisor_id is not None:
            _discard(self._by_advisor, (subscriber.advisor_id,), subscriber)
        if not self._tasks:
            self._wanted.clear()

    @contextlib.contextmanager
    def joined(self, subscriber: Subscriber) -> Iterator[None]:
        """Hand events to a reader meanwhile. Raises ProblemError: there are too many."""
        self.add(subscriber)
        try:
            yield
        finally:
            self.remove(subscriber)

    def follow_owner(self, subscriber: Subscriber, user_id: str, with_account: bool) -> None:
        """From now on also what becomes of the chat because the user's other chats change.

        Args:
            subscriber: a reader of chats.
            user_id: whose a chat of them has turned out to be.
            with_account: whether to tell of the account, too.
        """
        if subscriber in self._tasks and user_id not in subscriber.accounts:
            subscriber.accounts[user_id] = with_account
            self._by_user[user_id].add(subscriber)

    @property
    def end(self) -> FeedPlace | None:
        """Up to where events were handed out; None while nobody follows any."""
        return None if self._window is None else self._window.end

    def since(self, place: FeedPlace) -> list[Event] | None:
        """What happened after a place and was handed out already; None if that is not known."""
        return None if self._window is None else self._window.since(place)

    async def begun(self) -> None:
        """Wait until events are followed: what is read after that leaves no gap.

        Raises:
            Problem: Redis is away.
        """
        try:
            async with asyncio.timeout(BEGIN_S):
                await self._begun.wait()
        except TimeoutError:
            raise redis_unavailable(self._redis_reader.trouble or "no events yet") from None

    async def messages(self, events: Iterable[Event]) -> list[Message | MovedChats]:
        """Events with what they are about as it is now, read in one round trip."""
        listed = list(events)
        if not listed:
            return []
        chat_ids = {event.chat_id: event.user_id for event in listed if event.chat_id}
        keys = {event.user_id: self._keys.of_user(event.user_id) for event in listed}
        user_ids = list(keys)
        names = [
            *(keys[user_id].chat(chat_id) for chat_id, user_id in chat_ids.items()),
            *(keys[user_id].wallet(user_id) for user_id in user_ids),
            *(keys[user_id].account(user_id) for user_id in user_ids),
        ]
        values = iter(await self._redis_reader.read(*names))
        chats = dict(zip(chat_ids, itertools.islice(values, len(chat_ids)), strict=True))
        wallets = list(itertools.islice(values, len(user_ids)))
        stored = map(StoredWallet, wallets, values)
        by_user = dict(zip(user_ids, stored, strict=True))
        return messages_of(self._clock.now_ms(), len(self._keys), listed, chats, by_user)

    async def keep(self) -> None:
        """Follow the events for ever, as long as anybody reads."""
        while True:
            await self._wanted.wait()
            try:
                await self._follow()
            except EventsLostError as error:
                log.warning("gateway.events_lost", why=str(error))
                self._end_all(LOST)
            except (MeterError, ProblemError) as error:
                log.warning("gateway.events_away", why=str(error))
                await asyncio.sleep(RETRY_S)
            except Exception:
                log.exception("events.broadcast_failed")
                self._end_all(LOST)
                await asyncio.sleep(RETRY_S)

    async def tick(self) -> None:
        """Once a second: say that nothing happens, end what is over, cut off what is stuck."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(1)
            now_s = loop.time()
            for subscriber, task in list(self._tasks.items()):
                if subscriber.ended_at_s is not None:
                    if now_s - subscriber.ended_at_s > STUCK_S:
                        task.cancel()
                elif subscriber.caller.expires_at_s <= time.time():
                    subscriber.end(TOKEN_EXPIRED)
                elif (now_s - subscriber.spoken_at_s) * 1000 >= self._http.keep_alive_ms:
                    subscriber.spoken_at_s = now_s
                    subscriber.keep_alive(KEEP_ALIVE)

    def close(self) -> None:
        """Tell everybody that it is over."""
        self._end_all(SHUTDOWN)

    async def _follow(self) -> None:
        after = "$" if self._window is None else str(self._window.end)
        async with self._meter.events(after=after) as events:
            if self._window is None:
                begin = read_place(events.after, len(self._keys))
                if begin is None:
                    raise redis_unavailable("no daemon has made its partitions yet")
                self._window = EventWindow(begin, WINDOW_MAX)
            self._begun.set()
            while self._tasks:
                batch = await events.batch()
                if not batch:
                    return
                await self._hand_out(self._window, batch)
        # Nobody reads any more: whoever comes next begins with a snapshot or asks Redis.
        self._forget()

    def _forget(self) -> None:
        self._window = None
        self._begun.clear()

    async def _hand_out(self, window: EventWindow, batch: list[Event]) -> None:
        # Before anything is awaited: whoever comes meanwhile finds these in the window, or in the
        # snapshot, and is not handed them again.
        window.add(batch)
        for message in await self._messages_until_ok(
            [event for event in batch if self._is_wanted(event)]
        ):
            self._offer(message)

    async def _messages_until_ok(self, wanted: list[Event]) -> list[Message | MovedChats]:
        """Again while Redis is away: what was taken from the stream has to be told."""
        while True:
            try:
                return await self.messages(wanted)
            except ProblemError:
                await asyncio.sleep(RETRY_S)

    def _is_wanted(self, event: Event) -> bool:
        """Whether to read what it is about: whose advisor's chat it is, is known only then."""
        return bool(self._readers(event) or (self._by_advisor and event.chat_id))

    def _readers(self, event: Event) -> set[Subscriber]:
        of_user = self._by_user.get(event.user_id, _NOBODY)
        of_chat = self._by_chat.get(event.chat_id, _NOBODY) if event.chat_id else _NOBODY
        return of_user | of_chat if of_chat else of_user

    def _offer(self, message: Message | MovedChats) -> None:
        now_s = asyncio.get_running_loop().time()
        for subscriber in self._readers_of(message):
            was_open = subscriber.ended_at_s is None
            if subscriber.offer(message):
                self.told += 1
                subscriber.spoken_at_s = now_s
            self.dropped += was_open and subscriber.ended_at_s is not None
            if isinstance(message, Message) and message.event.chat_id in subscriber.chat_ids:
                self._follow_owner(subscriber, message)

    def _readers_of(self, message: Message | MovedChats) -> list[Subscriber]:
        """A list: whose the chat is may be noted meanwhile."""
        if isinstance(message, MovedChats):
            advisors = {chat.advisor_id for chat in message.chats.values()}
            of_user = self._by_user.get(message.user_id, _NOBODY)
            return list(of_user.union(*(self._by_advisor.get(a, _NOBODY) for a in advisors)))
        of_advisor = self._by_advisor.get(message.advisor_id or "", _NOBODY)
        return list(self._readers(message.event) | of_advisor)

    def _follow_owner(self, subscriber: Subscriber, message: Message) -> None:
        view = subscriber.caller.view(message.user_id, message.advisor_id)
        if view is not None:
            self.follow_owner(subscriber, message.user_id, with_account=view == WHOLE)

    def check_room(self, caller: Caller) -> None:
        """Raises ProblemError: there are too many streams, here or of this caller."""
        http = self._http
        if len(self._tasks) >= http.streams_max:
            raise _too_many(f"this gateway has {http.streams_max} streams open, its limit")
        if self._callers[caller.sub] >= http.streams_per_caller_max:
            raise _too_many(f"you have {http.streams_per_caller_max} streams open, the limit")

    def _end_all(self, reason: str) -> None:
        for subscriber in self._tasks:
            subscriber.end(reason)
        self._forget()


_NOBODY: Final[set[Subscriber]] = set()


def _discard(
    index: defaultdict[str, set[Subscriber]], names: Iterable[str], subscriber: Subscriber
) -> None:
    for name in names:
        index[name].discard(subscriber)
        if not index[name]:
            del index[name]


def _too_many(detail: str) -> ProblemError:
    return ProblemError(429, "too_many_streams", detail, {"Retry-After": "5"})
