"""The streams of meterd, page by page, to be compared with the journal."""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import redis

from meterd.rules.redis_keys import GROUP, Keys
from persistence.redis.dead_letters import DeadLetter, read_letter

PAGE: Final = 1_000
_ACCOUNTS_PAGE: Final = 50
"""Accounts that are read at once: one with many open chats has tens of kilobytes."""

Fields = dict[str, str]


class StreamEntry(NamedTuple):
    """An entry of a stream, as text."""

    entry: str
    fields: Fields


class StreamScan:
    """Reads the latest entries of streams; a key that is no stream has none."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        """Read through ``client``; nothing is ever written."""
        self._client = client
        self._keys = keys

    def delivered_commands(self, most: int) -> Iterator[StreamEntry]:
        """Commands that the daemon has been given, the latest first."""
        last = self._last_delivered()
        if last:
            yield from map(_as_text, self._latest(self._keys.commands, last, most))

    def is_pending(self, entry: str) -> bool:
        """Whether a command that was delivered waits for its effect."""
        try:
            pending: Any = self._client.xpending_range(
                self._keys.commands, GROUP, min=entry, max=entry, count=1
            )
        except redis.ResponseError:  # the group is gone: all of the stream is read again
            return True
        return bool(pending)

    def dead_letters(self, most: int) -> Iterator[DeadLetter]:
        """Dead letters, the latest first."""
        yield from map(read_letter, self._latest(self._keys.dead, "+", most))

    def replies(self, reply_to: str, most: int) -> Iterator[StreamEntry]:
        """Replies of one stream, the latest first."""
        yield from map(_as_text, self._latest(self._keys.reply(reply_to), "+", most))

    def outbox(self, most: int) -> Iterator[tuple[str, bytes]]:
        """Outbox entries, the latest first: the ID and what Postgres is to get."""
        for entry, fields in self._latest(self._keys.outbox, "+", most):
            yield entry.decode(), fields.get(b"facts", b"")

    def heads(self, users: list[str]) -> dict[str, str]:
        """The last entry that each account has applied; those without an account are left out."""
        # Whole, not by GETRANGE: with that right an operator could open accounts by the function.
        heads: dict[str, str] = {}
        for i in range(0, len(users), _ACCOUNTS_PAGE):
            page = users[i : i + _ACCOUNTS_PAGE]
            found: Any = self._client.mget(map(self._keys.account, page))
            for user, raw in zip(page, found, strict=True):
                if raw:
                    heads[user] = raw.partition(b"|")[0].decode(errors="replace")
        return heads

    def _last_delivered(self) -> str:
        try:
            groups: Any = self._client.xinfo_groups(self._keys.commands)
        except redis.ResponseError:
            return ""
        ours = [one for one in groups if one["name"] == GROUP.encode()]
        return ours[0]["last-delivered-id"].decode() if ours else ""

    def _latest(
        self, stream: str, last: str, most: int
    ) -> Iterator[tuple[bytes, dict[bytes, bytes]]]:
        before = last
        while most > 0:
            try:
                page: Any = self._client.xrevrange(stream, before, count=min(PAGE, most))
            except redis.ResponseError:
                return
            # One that was deleted in this moment has no fields.
            yield from (one for one in page if one[1])
            most -= len(page)
            if len(page) < PAGE:
                return
            before = f"({page[-1][0].decode()}"


def _as_text(raw: tuple[bytes, dict[bytes, bytes]]) -> StreamEntry:
    entry, fields = raw
    return StreamEntry(entry.decode(), {_text(k): _text(v) for k, v in fields.items()})


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace")
