"""Chats and wallets for a caller: from Redis, else, or while it is away, from Postgres.

A chat that meterd has no record of is looked for in the fallback, if there is one.
"""

from typing import Final, NamedTuple

from sqlalchemy import Connection

from actors.chat.rows import chat_of_record
from daemon.gateway.authorization import WHOLE, Caller
from daemon.gateway.errors import ProblemError
from daemon.gateway.fallback import ChatFallback
from daemon.gateway.postgres_reader import PostgresReader
from daemon.gateway.queue_clock import QueueClock
from daemon.gateway.redis_reader import RedisReader
from daemon.gateway.views import (
    LIVE,
    RECORD,
    account_of_records,
    join,
    never_started,
    owner_of,
    pack,
    record_snapshot,
    wallet_json,
    wallet_object,
)
from meterd.rules.commands import is_identifier
from meterd.rules.model import LEGACY, Account
from meterd.rules.redis_keys import Keys
from meterd.rules.snapshots import JsonObject
from persistence.postgres.pages import balance_of_user, ledger_page, open_of_user
from persistence.postgres.rows import RecordRow
from persistence.redis.commit import is_readable, unpack_state

OPEN_MAX: Final = 10_000
"""Open chats of one user that a wallet out of Postgres is made of."""


class ChatView(NamedTuple):
    """A chat as the caller may see it."""

    source: str
    snapshot: bytes
    user_id: str
    view: str


class Queries:
    """Answers about chats and wallets."""

    def __init__(
        self,
        live: RedisReader,
        records: PostgresReader,
        keys: Keys,
        clock: QueueClock,
        fallback: ChatFallback | None,
    ) -> None:
        """Read through these."""
        self._fallback = fallback
        self._live = live
        self._records = records
        self._keys = keys
        self._clock = clock

    async def chat(self, chat_id: str, caller: Caller) -> bytes:
        """The chat with its wallet, as JSON."""
        seen, wallet = await self._chat_and_own_wallet(chat_id, caller)
        if seen is None:
            return never_started(self._clock.now_ms(), chat_id)
        if wallet is None and seen.view == WHOLE:
            wallet = (await self.wallet(seen.user_id))[1]
        return join(self._clock.now_ms(), seen.source, seen.snapshot, wallet)

    async def view(self, chat_id: str, caller: Caller) -> ChatView | None:
        """The chat, if the caller may see it and it has started."""
        return (await self._chat_and_own_wallet(chat_id, caller))[0]

    async def wallet(self, user_id: str) -> tuple[str, bytes]:
        """Where a wallet is from, and the wallet as JSON."""
        keys = self._keys.wallet(user_id), self._keys.account(user_id)
        try:
            wallet, account = await self._live.read(*keys)
        except ProblemError:
            made = await self.account_of_records(user_id)
            return RECORD, pack(wallet_object(made, made.as_of_ms))
        return LIVE, wallet_json(wallet, account, user_id)

    async def account(self, user_id: str) -> tuple[str, Account]:
        """Where an account is from, and the account, with all that the rules need."""
        try:
            (raw,) = await self._live.read(self._keys.account(user_id))
        except ProblemError:
            return RECORD, await self.account_of_records(user_id)
        _, account = unpack_state(raw, user_id)
        if not is_readable(account):
            return RECORD, await self.account_of_records(user_id)
        return LIVE, account

    async def account_of_records(self, user_id: str) -> Account:
        """The account as Postgres knows it."""

        def question(connection: Connection) -> Account:
            chats = [chat_of_record(r) for r in open_of_user(connection, user_id, OPEN_MAX)]
            latest = ledger_page(connection, user_id, 1, None)
            moments = [entry.at_ms for entry in latest] + [chat.as_of_ms for chat in chats]
            settled = balance_of_user(connection, user_id) or 0
            return account_of_records(user_id, settled, chats, max(moments, default=0))

        return await self._records.ask(question)

    async def _chat_and_own_wallet(
        self, chat_id: str, caller: Caller
    ) -> tuple[ChatView | None, bytes | None]:
        """The chat; and with it, at the same moment, the wallet of a caller who is its user."""
        if not is_identifier(chat_id):
            return await self._from_fallback(chat_id, caller), None  # nothing of ours is called so
        keys, me = self._keys, caller.sub
        asked = [keys.chat(chat_id)]
        own = is_identifier(me) and caller.is_user(me)
        if own:
            asked += [keys.wallet(me), keys.account(me)]
        try:
            raw, *wallet = await self._live.read(*asked)
        except ProblemError as away:
            return await self._from_record(chat_id, caller, away), None
        seen = _seen(raw, caller) if raw is not None else None
        if seen is None:
            # Whoever may not see it waits as long as for one that is not there.
            elsewhere = await self._from_record(chat_id, caller, None)
            return (elsewhere if raw is None else None), None
        is_mine = own and seen.user_id == me and seen.view == WHOLE
        return seen, wallet_json(wallet[0], wallet[1], me) if is_mine else None

    async def _from_record(
        self, chat_id: str, caller: Caller, away: ProblemError | None
    ) -> ChatView | None:
        record = await self._records.chat(chat_id)
        seen = _recorded(record, caller) if record is not None else None
        if seen is not None:
            return seen
        old = await self._from_fallback(chat_id, caller, may_run=away is None)
        if old is not None and record is None:
            return old
        if away is not None:
            raise away  # it may have started a moment ago: only Redis knows
        return None

    async def _from_fallback(
        self, chat_id: str, caller: Caller, may_run: bool = True
    ) -> ChatView | None:
        """The chat as another system has it; one that runs there may run here by now."""
        chat = await self._fallback.chat(chat_id) if self._fallback is not None else None
        if chat is None or not (may_run or chat.ended_at_ms is not None):
            return None
        view = caller.view(chat.user_id, chat.advisor_id)
        snapshot = pack(record_snapshot(chat))
        return ChatView(LEGACY, snapshot, chat.user_id, view) if view is not None else None


def _recorded(record: RecordRow, caller: Caller) -> ChatView | None:
    view = caller.view(record.user_id, record.advisor_id)
    if view is None:
        return None
    return ChatView(RECORD, pack(record_snapshot(chat_of_record(record))), record.user_id, view)


def _seen(raw: bytes, caller: Caller) -> ChatView | None:
    owner = owner_of(raw)
    view = caller.view(owner.user_id, owner.advisor_id)
    return None if view is None else ChatView(LIVE, raw, owner.user_id, view)


def wallet_answer(now_ms: int, source: str, wallet: bytes, more: JsonObject) -> bytes:
    """A wallet's answer."""
    rest = b"".join(b",%s:%s" % (pack(name), pack(value)) for name, value in more.items())
    return b'{"now":%d,"source":"%s",%s%s}' % (now_ms, source.encode(), wallet[1:-1], rest)
