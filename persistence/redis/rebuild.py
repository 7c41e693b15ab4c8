"""Puts into an emptied Redis what Postgres knows: the writing side of ``meterd recover``."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import redis

from meterd.rules.model import Account, Chat
from meterd.rules.redis_keys import GROUP, Keys
from meterd.rules.snapshots import chat_snapshot, wallet_snapshot
from persistence.redis.commit import pack_json, pack_state
from persistence.redis.id_counts import first_hour_without

PAGE: Final = 1_000

STATE: Final = ("account:", "wallet:", "chat:", "id:")
"""What is thrown away and made again: each of these keys follows from the journal."""


class Rebuild:
    """The state of one queue on its way back. Nobody may work on it meanwhile."""

    def __init__(self, client: redis.Redis, keys: Keys, ended_ttl_ms: int) -> None:
        """``ended_ttl_ms``: for how long after its end Redis keeps a chat."""
        self._client = client
        self._keys = keys
        self._ended_ttl_ms = ended_ttl_ms
        self._now_ms = self._time_ms()

    def begin(self) -> int:
        """Forget the memory's name, then the state; returns how many keys there were.

        In this order: if this is cut short, nobody takes what is left for complete.
        """
        self._client.delete(self._keys.instance_id)
        gone = 0
        for part in STATE:
            for names in self._pages(part):
                gone += int(self._client.unlink(*names))
        return gone + int(self._client.unlink(self._keys.open_users, self._keys.id_counts))

    def put_account(self, applied: str, account: Account, chats: Iterable[Chat]) -> None:
        """An account with its wallet and chats, as after its last entry."""
        user, pipeline = account.user_id, self._client.pipeline(transaction=False)
        if applied:
            pipeline.set(self._keys.account(user), pack_state(applied, account))
        if account.seq:
            wallet = pack_json(wallet_snapshot(account, account.as_of_ms))
            pipeline.set(self._keys.wallet(user), wallet)
        if account.chats:
            pipeline.sadd(self._keys.open_users, user)
        for chat in chats:
            self._put_chat(pipeline, chat)
        if len(pipeline):
            pipeline.execute()

    def _put_chat(self, pipeline: Any, chat: Chat) -> None:
        snapshot = pack_json(chat_snapshot(chat, chat.as_of_ms))
        if chat.ended_at_ms is None:
            pipeline.set(self._keys.chat(chat.chat_id), snapshot)
        elif chat.as_of_ms + self._ended_ttl_ms > self._now_ms:
            left_ms = chat.as_of_ms + self._ended_ttl_ms - self._now_ms
            pipeline.set(self._keys.chat(chat.chat_id), snapshot, px=max(1, left_ms))

    def put_ids(self, ids: Iterable[tuple[str, str, int]]) -> int:
        """Ids with what they stood for and until when they count; returns how many."""
        count, pipeline = 0, self._client.pipeline(transaction=False)
        hours: Counter[int] = Counter()
        for id_, remembered, until_ms in ids:
            if until_ms > self._now_ms:
                pipeline.set(self._keys.id(id_), remembered, px=until_ms - self._now_ms)
                hours[first_hour_without(until_ms)] += 1
                count += 1
            if len(pipeline) >= PAGE:
                pipeline.execute()
        if hours:
            pipeline.hset(self._keys.id_counts, mapping={str(h): n for h, n in hours.items()})
        pipeline.execute()
        return count

    def fix_commands(self, last: str, known: Callable[[list[str]], set[str]]) -> int:
        """Leave in the commands stream what was not handled; returns how many entries that are.

        ``known`` says which of a page of entries the journal has. IDs go on behind ``last``.
        """
        left = 0
        for page in self._entries(self._keys.commands):
            handled = known(page)
            if handled:
                self._client.xdel(self._keys.commands, *handled)
            left += len(page) - len(handled)
        self._raise_last(self._keys.commands, last)
        # At once: a daemon that waits for the end of this makes the group whenever there is none.
        pipeline = self._client.pipeline(transaction=True)
        pipeline.xgroup_destroy(self._keys.commands, GROUP)
        pipeline.xgroup_create(self._keys.commands, GROUP, id="0")
        pipeline.execute()
        return left

    def fix_outbox(self, last: str) -> None:
        """All that is in it has reached Postgres; IDs go on behind ``last``."""
        self._raise_last(self._keys.outbox, last)
        self._client.xtrim(self._keys.outbox, maxlen=0, approximate=False)
        self._client.set(self._keys.outbox_delivered, last)

    def last_event(self) -> str:
        """The last event that there has ever been; they are left as they are."""
        try:
            info: Any = self._client.xinfo_stream(self._keys.events)
        except redis.ResponseError:  # there is no stream
            return "0-0"
        return str(info["last-generated-id"].decode())

    def end(self, memory_id: str, epoch: int) -> None:
        """Everything is there: give it a name. Older epochs than ``epoch`` are over."""
        found: Any = self._client.get(self._keys.epoch)
        self._client.set(self._keys.epoch, max(epoch, int(found or 0)))
        self._client.set(self._keys.instance_id, memory_id)

    def _raise_last(self, stream: str, last: str) -> None:
        """Make a stream go on behind an entry; it is made if it is not there."""
        if not self._client.exists(stream):
            made: Any = self._client.xadd(stream, {"made": "by recover"}, id="0-1")
            self._client.xdel(stream, made)
        info: Any = self._client.xinfo_stream(stream)
        own = info["last-generated-id"].decode()
        if _key(last) > _key(own):
            set_id: Any = self._client.execute_command
            set_id("XSETID", stream, last)

    def _entries(self, stream: str) -> Iterator[list[str]]:
        after = "-"
        while True:
            found: Any = self._client.xrange(stream, min=after, count=PAGE)
            if not found:
                return
            page = [entry.decode() for entry, _ in found]
            yield page
            after = f"({page[-1]}"

    def _pages(self, part: str) -> Iterator[list[bytes]]:
        names: list[bytes] = []
        # Braces are plain characters in a pattern; nothing else in a prefix is special.
        for name in self._client.scan_iter(f"{self._keys.prefix}{part}*", count=PAGE):
            names.append(name)
            if len(names) >= PAGE:
                yield names
                names = []
        if names:
            yield names

    def _time_ms(self) -> int:
        seconds, micros = self._client.time()
        return int(seconds) * 1_000 + int(micros) // 1_000


def _key(entry: str) -> tuple[int, int]:
    ms, _, number = entry.partition("-")
    return int(ms), int(number or 0)
