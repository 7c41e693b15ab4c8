"""All keys of a partition in one pass, by kind; keys of the wrong type; snapshots with expiry."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import redis

from meterd.rules.redis_keys import Keys

KINDS: Final = {"account": "string", "wallet": "string", "chat": "string", "id": "string",
                "reply": "stream", "owner": "string"}  # fmt: skip
"""Kinds of which there are many keys, with their type: ``<kind>:<name>``."""

SINGLE: Final = {
    "commands": "stream", "events": "stream", "dead": "stream", "outbox": "stream",
    "outbox:refused": "stream", "history": "stream", "open": "set", "epochs": "hash",
    "progress": "hash", "outbox:delivered": "string", "epoch": "string", "leader": "string",
    "memory": "string", "format": "string", "hold": "string", "status": "string",
    "leads": "string", "clock:accepted": "string", "replies": "zset", "ids": "hash",
    "layout": "string", "nodes": "hash",
}  # fmt: skip
"""Keys of which there is one, with their type."""

OTHER: Final = "other"
SCAN_COUNT: Final = 1_000
_FOREVER: Final = -1
_GONE: Final = -2


class KeysFound(NamedTuple):
    """Keys of one page of the scan, by kind, without what their kind begins with."""

    by_kind: dict[str, list[str]]

    def of(self, kind: str) -> list[str]:
        """The names of one kind; of ``OTHER``, whole names behind the prefix."""
        return self.by_kind.get(kind, [])


class KeyState(NamedTuple):
    """A key that should be a string: what it holds, and for how long (ms; -1: for ever)."""

    name: str
    value: bytes | None
    ttl_ms: int

    @property
    def is_there(self) -> bool:
        """Whether there is such a key, of whatever type."""
        return self.ttl_ms != _GONE

    @property
    def expires(self) -> bool:
        """Whether the key goes by itself."""
        return self.ttl_ms not in (_FOREVER, _GONE)


class KeyScan:
    """Reads names and values, in calls that are over soon."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        """Read through ``client``; nothing is ever written."""
        self._client = client
        self._prefix = keys.prefix

    def pages(self) -> Iterator[KeysFound]:
        """All keys, some at a time; one may come more than once."""
        cursor = 0
        while True:
            answer: Any = self._client.scan(cursor, match=f"{self._prefix}*", count=SCAN_COUNT)
            cursor, found = answer
            yield self._by_kind([name.decode(errors="replace") for name in found])
            if cursor == 0:
                return

    def take(self, kind: str, names: Sequence[str]) -> list[KeyState]:
        """The keys of these names, all of one moment."""
        if not names:
            return []
        keys = [f"{self._prefix}{kind}:{name}" for name in names]
        pipeline = self._client.pipeline(transaction=True)
        pipeline.mget(keys)
        for key in keys:
            pipeline.pttl(key)
        values, *ttls_ms = pipeline.execute()
        return [KeyState(*one) for one in zip(names, values, map(int, ttls_ms), strict=True)]

    def wrong_kinds(self, kind: str, names: Sequence[str]) -> Iterator[tuple[str, str, str]]:
        """Keys of a kind that have another type, as ``wrong_types`` gives them."""
        return self._wrong({f"{kind}:{name}": KINDS[kind] for name in names})

    def wrong_types(self) -> Iterator[tuple[str, str, str]]:
        """Single keys of another type than theirs: name, its type, the one that was found."""
        return self._wrong(SINGLE)

    def _wrong(self, types: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
        pipeline = self._client.pipeline(transaction=False)
        for name in types:
            pipeline.type(self._prefix + name)
        for (name, type_), raw in zip(types.items(), pipeline.execute(), strict=True):
            found = raw.decode()
            if found not in (type_, "none"):
                yield name, type_, found

    def accepted_ms(self) -> int:
        """Up to here an operator has accepted entries ahead of the clock; 0: nothing was."""
        try:
            raw: Any = self._client.get(f"{self._prefix}clock:accepted")
            return int(raw or 0)
        except (redis.ResponseError, ValueError):
            return 0

    def _by_kind(self, found: Sequence[str]) -> KeysFound:
        by_kind: dict[str, list[str]] = {}
        for key in found:
            name = key.removeprefix(self._prefix)
            kind, _, rest = name.partition(":")
            if name in SINGLE:
                continue
            if kind in KINDS:
                by_kind.setdefault(kind, []).append(rest)
            else:
                by_kind.setdefault(OTHER, []).append(name)
        return KeysFound(by_kind)
