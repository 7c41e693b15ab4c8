"""Looks at the service again and again, and remembers the last minutes."""

import contextlib
import time
from collections import deque
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import msgspec
import redis
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from daemon.console.chat_now import ChatNow, chat_now
from daemon.discovery.published import read_whole_status
from daemon.discovery.status import DOWN
from meterd.rules.model import PAUSED, RUNNING, SUSPENDED
from meterd.rules.partitions import partition_of
from meterd.rules.redis_keys import Keys
from persistence.postgres.pages import ChatFilter, chats_page
from persistence.redis.client import RedisClients, queue_ms
from persistence.redis.layout import read_partitions

REMEMBERED: Final = 120
"""Looks that the small plots are drawn from: two minutes at one a second."""
CHATS_READ: Final = 1_000
"""So many of the newest open chats are looked at, and put in order."""

_OPEN: Final = ChatFilter(statuses=(RUNNING, PAUSED, SUSPENDED))


class Past(NamedTuple):
    """What the small plots show: one value for each look, the latest last."""

    commands_per_s: deque[float]
    lag: deque[float]
    open_chats: deque[float]


class Frame(NamedTuple):
    """The service at one moment."""

    status: dict[str, Any]
    chats: list[ChatNow]
    """The newest open ones, the newest first, as they are now."""
    past: Past
    trouble: str
    """Why something is missing; empty if nothing is."""


class Watch:
    """The service as seen from here."""

    def __init__(self, clients: RedisClients, engine: Engine | None) -> None:
        """``engine``: None if it is not known where Postgres is; then no chats are listed."""
        self._clients = clients
        self._engine = engine
        self._past = Past(*(deque[float](maxlen=REMEMBERED) for _ in Past._fields))
        self._before: tuple[float, int] | None = None

    def look(self) -> Frame:
        """The service now."""
        trouble = ""
        status: dict[str, Any] = {**DOWN, "why": "no daemon answers on this Redis"}
        chats: list[ChatNow] = []
        try:
            status = read_whole_status(self._clients) or status
            chats = list(self._chats())
        except redis.RedisError as error:
            trouble = f"Redis does not answer: {error}"
        except SQLAlchemyError as error:
            trouble = f"PostgreSQL does not answer: {type(error).__name__}"
        self._remember(status)
        return Frame(status=status, chats=chats, past=self._past, trouble=trouble)

    def _chats(self) -> Iterator[ChatNow]:
        if self._engine is None:
            return
        with self._engine.connect() as connection:
            rows = chats_page(connection, _OPEN, CHATS_READ, None)
        partitions = read_partitions(self._clients)
        places = {row.user_id: Keys(partition_of(row.user_id, partitions)) for row in rows}
        chats = self._read([places[row.user_id].chat(row.chat_id) for row in rows])
        wallets = self._read([keys.wallet(user) for user, keys in places.items()])
        zero_at = {wallet["user_id"]: wallet["zero_at"] for wallet in wallets}
        now_ms = queue_ms(self._clients)
        for chat in chats:
            # Its record may say that it is open a moment after it has ended.
            if chat["status"] in _OPEN.statuses:
                yield chat_now(chat, now_ms, zero_at.get(chat["user_id"]))

    def _read(self, keys: list[str]) -> list[dict[str, Any]]:
        """The snapshots under these keys that are there."""
        raws = self._clients.mget(keys)
        return [msgspec.json.decode(raw) for raw in filter(None, raws)]

    def _remember(self, status: dict[str, Any]) -> None:
        handled, now_s = sum(status.get("outcomes", {}).values()), time.monotonic()
        if self._before is not None:
            before_s, before = self._before
            # A supervisor that was started again counts from zero.
            self._past.commands_per_s.append(max(0, handled - before) / (now_s - before_s))
        self._before = now_s, handled
        queue = status.get("queue", {})
        self._past.lag.append(queue.get("lag", 0) + queue.get("pending", 0))
        self._past.open_chats.append(status.get("open_chats", 0))


@contextlib.contextmanager
def engine_for(postgres_url: str) -> Iterator[Engine | None]:
    """Where the records are; None without a URL."""
    from persistence.postgres.engine import make_engine  # noqa: PLC0415 - slow to import

    engine = make_engine(postgres_url, pool_size=1) if postgres_url else None
    try:
        yield engine
    finally:
        if engine is not None:
            engine.dispose()
