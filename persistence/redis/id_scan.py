"""What Redis remembers of ids, many at a time."""

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import redis

from meterd.rules.redis_keys import Keys

FOREVER: Final = -1
"""The time to live of a key that never expires."""
_GONE: Final = -2


class RememberedId(NamedTuple):
    """What is remembered of an id, and for how much longer (ms) from ``now_ms`` on."""

    id: str
    value: str
    ttl_ms: int
    now_ms: int

    @property
    def is_there(self) -> bool:
        """Whether there is a key at all, of whatever kind."""
        return self.ttl_ms != _GONE


class IdScan:
    """Looks ids up."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        """Read through ``client``; nothing is ever written."""
        self._client = client
        self._keys = keys

    def now_ms(self) -> int:
        """The server's clock."""
        return _ms(self._client.time())

    def take(self, ids: Sequence[str], *, is_expiry_asked: bool = True) -> Iterator[RememberedId]:
        """One for each id, all of one moment; for how much longer only if that is asked."""
        if not ids:
            return
        pipeline = self._client.pipeline(transaction=True)
        pipeline.time()
        pipeline.mget([self._keys.id(id_) for id_ in ids])
        for id_ in ids if is_expiry_asked else ():
            pipeline.pttl(self._keys.id(id_))
        now, values, *ttls_ms = pipeline.execute()
        now_ms, ttls_ms = _ms(now), ttls_ms or [FOREVER] * len(ids)
        for id_, value, ttl_ms in zip(ids, values, ttls_ms, strict=True):
            text = (value or b"").decode(errors="replace")
            yield RememberedId(id_, text, int(ttl_ms), now_ms)


def _ms(time: Any) -> int:
    seconds, micros = time
    return int(seconds) * 1_000 + int(micros) // 1_000
