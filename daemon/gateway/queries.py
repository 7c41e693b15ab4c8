"""Chats and wallets for a caller: from Redis, else, or while it is away, from Postgres.

A chat that meterd has no record of is looked for in the fallback, if there is one.
"""

from typing import Final, NamedTuple

from sqlalchemy import Connection

from actors.chat.rows import chat_of_record
from daemon.gateway.authorization import WHOLE, Caller
from daemon.gateway.errors import ProblemError
from daemon.gateway.fallback import ChatFallback
from daemon.gateway.partition_keys import PartitionKeys
from daemon.gateway.postgres_reader import PostgresReader
from daemon.gateway.queue_clock import QueueClock
from daemon.gateway.redis_reader import RedisReader
from daemon.gateway.views import (
    LEGACY_TABLES,
    POSTGRES,
    REDIS,
    ReadFrom,
    account_of_records,
    join,
    never_started,
    origin_json,
    owner_of,
    pack,
    record_snapshot,
    wallet_json,
    wallet_object,
)
from meterd.rules.commands import is_identifier
from meterd.rules.model import LEGACY, LIVE, MIGRATED, PAUSED, RUNNING, SUSPENDED, Account, Chat
from meterd.rules.snapshots import JsonObject
from persistence.postgres.pages import (
    ChatFilter,
    balance_of_user,
    chats_page,
    ledger_page,
    open_of_user,
)
from persistence.redis.commit import is_readable, unpack_state

OPEN_MAX: Final = 10_000
"""Open chats of one user that a wallet out of Postgres is made of."""


class StoredChat(NamedTuple):
    """A chat as one of the stores has it."""

    read_from: ReadFrom
    source: str
    snapshot: bytes
    user_id: str
    advisor_id: str


class ChatView(NamedTuple):
    """A chat as the caller may see it."""

    read_from: ReadFrom
    source: str
    """The chat's own: ``live``, ``migrated`` or ``legacy``."""
    snapshot: bytes
    user_id: str
    view: str


class Queries:
    """Answers about chats and wallets."""

    def __init__(
        self,
        live: RedisReader,
        records: PostgresReader,
        keys: PartitionKeys,
        clock: QueueClock,
        fallback: ChatFallback | None,
    ) -> None:
        """Read through these."""
        self._fallback = fallback
        self._redis_reader = live
        self._records = records
        self._keys = keys
        self._clock = clock

    async def chat(self, chat_id: str, caller: Caller) -> bytes:
        """The chat with its wallet, as JSON."""
        chat, wallet = await self._read_chat(chat_id, caller)
        if chat is None:
            return never_started(self._clock.now_ms(), chat_id)
        if wallet is None and chat.view == WHOLE:
            wallet = (await self.wallet(chat.user_id))[1]
        return join(self._clock.now_ms(), chat.read_from, chat.source, chat.snapshot, wallet)

    async def view(self, chat_id: str, caller: Caller) -> ChatView | None:
        """The chat, if the caller may see it and it has started."""
        return (await self._read_chat(chat_id, caller))[0]

    async def open_of_advisor(self, advisor_id: str, limit: int) -> list[str]:
        """The advisor's open chats that Postgres knows of, the newest first."""
        wanted = ChatFilter(None, advisor_id, (RUNNING, PAUSED, SUSPENDED), "")
        rows = await self._records.ask(lambda c: chats_page(c, wanted, limit, None))
        return [row.chat_id for row in rows]

    async def wallet(self, user_id: str) -> tuple[ReadFrom, bytes]:
        """Where a wallet is from, and the wallet as JSON."""
        keys = self._keys.of_user(user_id)
        try:
            wallet, account = await self._redis_reader.read(
                keys.wallet(user_id), keys.account(user_id)
            )
        except ProblemError:
            made = await self.account_of_records(user_id)
            return POSTGRES, pack(wallet_object(made, made.as_of_ms))
        return REDIS, wallet_json(wallet, account, user_id)

    async def account(self, user_id: str) -> tuple[ReadFrom, Account]:
        """Where an account is from, and the account, with all that the rules need."""
        try:
            (raw,) = await self._redis_reader.read(self._keys.of_user(user_id).account(user_id))
        except ProblemError:
            return POSTGRES, await self.account_of_records(user_id)
        _, account = unpack_state(raw, user_id)
        if not is_readable(account):
            return POSTGRES, await self.account_of_records(user_id)
        return REDIS, account

    async def account_of_records(self, user_id: str) -> Account:
        """The account as Postgres knows it."""

        def question(connection: Connection) -> Account:
            chats = [chat_of_record(r) for r in open_of_user(connection, user_id, OPEN_MAX)]
            latest = ledger_page(connection, user_id, 1, None)
            moments = [entry.at_ms for entry in latest] + [chat.as_of_ms for chat in chats]
            settled = balance_of_user(connection, user_id) or 0
            return account_of_records(user_id, settled, chats, max(moments, default=0))

        return await self._records.ask(question)

    async def _read_chat(
        self, chat_id: str, caller: Caller
    ) -> tuple[ChatView | None, bytes | None]:
        """Ask Redis, then the records, then the fallback, until one has the chat.

        Whoever may not see the chat waits as long as for one that is not there: all are asked.

        Returns:
            The chat as the caller sees it; with it, of the same moment, the wallet of a caller
            who is its user, if Redis has the chat.
        """
        live: StoredChat | None = None
        record: StoredChat | None = None
        wallet: bytes | None = None
        unavailable: ProblemError | None = None
        if is_identifier(chat_id):  # no chat of meterd has another kind of id
            try:
                live, wallet = await self._from_redis(chat_id, caller)
            except ProblemError as error:
                unavailable = error
            if (view := _view(live, caller)) is not None:
                is_own = view.user_id == caller.sub and view.view == WHOLE
                return view, wallet if is_own else None
            record = await self._from_record(chat_id)
            if live is None and (view := _view(record, caller)) is not None:
                return view, None
        # A chat that runs in the other system may run here by now: only Redis knows.
        legacy = await self._from_fallback(chat_id, may_run=unavailable is None)
        is_first = live is None and record is None
        if is_first and (view := _view(legacy, caller)) is not None:
            return view, None
        if unavailable is not None:
            raise unavailable  # the chat may have started a moment ago
        return None, None

    async def _from_redis(
        self, chat_id: str, caller: Caller
    ) -> tuple[StoredChat | None, bytes | None]:
        """The chat's snapshot and, of a caller who is a user, the wallet beside it."""
        me = caller.sub
        is_user = is_identifier(me) and caller.is_user(me)
        of_chat, mine = self._keys.of_chats([chat_id]), list[str]()
        if is_user:
            keys = self._keys.of_user(me)
            mine = [keys.wallet(me), keys.account(me)]
        values = await self._redis_reader.read(*of_chat, *mine)
        (snapshot,), wallet = self._keys.found(values[: len(of_chat)]), values[len(of_chat) :]
        own_wallet = wallet_json(wallet[0], wallet[1], me) if is_user else None
        if snapshot is None:
            return None, own_wallet
        owner = owner_of(snapshot)
        source = LIVE if owner.increment_ms else MIGRATED
        found = StoredChat(REDIS, source, snapshot, owner.user_id, owner.advisor_id)
        return found, own_wallet

    async def _from_record(self, chat_id: str) -> StoredChat | None:
        record = await self._records.chat(chat_id)
        return None if record is None else _stored(POSTGRES, record.source, chat_of_record(record))

    async def _from_fallback(self, chat_id: str, may_run: bool) -> StoredChat | None:
        chat = await self._fallback.chat(chat_id) if self._fallback is not None else None
        if chat is None or not (may_run or chat.ended_at_ms is not None):
            return None
        return _stored(LEGACY_TABLES, LEGACY, chat)


def _stored(read_from: ReadFrom, source: str, chat: Chat) -> StoredChat:
    snapshot = pack(record_snapshot(chat))
    return StoredChat(read_from, source, snapshot, chat.user_id, chat.advisor_id)


def _view(chat: StoredChat | None, caller: Caller) -> ChatView | None:
    if chat is None:
        return None
    view = caller.view(chat.user_id, chat.advisor_id)
    if view is None:
        return None
    return ChatView(chat.read_from, chat.source, chat.snapshot, chat.user_id, view)


def wallet_answer(now_ms: int, read_from: ReadFrom, wallet: bytes, more: JsonObject) -> bytes:
    """A wallet's answer."""
    rest = b"".join(b",%s:%s" % (pack(name), pack(value)) for name, value in more.items())
    return b'{"now":%d,%s,%s%s}' % (now_ms, origin_json(read_from), wallet[1:-1], rest)
