"""A large journal with all that belongs to it, in Postgres and Redis, for sizes and times.

``python -m tests.audit.many POSTGRES_URL REDIS_URL USERS COMMANDS_PER_USER`` fills both.
"""

import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import redis
from sqlalchemy import Engine

from actors.chat.rows import record_row
from meterd.rules.model import Policy
from meterd.rules.redis_keys import Keys
from meterd.rules.replay import JournalEntry, Replay
from meterd.rules.snapshots import chat_snapshot, wallet_snapshot
from persistence.postgres.engine import make_engine
from persistence.postgres.rows import JournalRow
from persistence.postgres.writer import put_policy, write_batch
from persistence.redis.client import connect
from persistence.redis.commit import ledger_row, pack_json, pack_state, policy_document

KEYS = Keys()
T0 = 1_700_000_000_000
CHAT = ("start", "heartbeat", "pause", "resume", "set_rate", "heartbeat", "pause", "resume", "end")
USERS_BATCH = 20


class Size(NamedTuple):
    """How many users, with how many commands each."""

    users: int
    commands: int


class User(NamedTuple):
    """One user's journal and the fold of it."""

    journal: list[JournalRow]
    replay: Replay


def users(size: Size, policy: Policy) -> Iterator[User]:
    """User after user: a top-up, then chats that start, live and end, the last of them open."""
    for number in range(size.users):
        user_id, journal = f"u{number:07d}", list[JournalRow]()
        replay = Replay(user_id)
        for n in range(size.commands):
            entry, fields = f"{T0 + 1_000 * n}-{number}", _command(user_id, n)
            outcome = replay.feed(JournalEntry(entry, fields, "", False), policy).outcome
            chat_id = fields.get("chat_id")
            journal.append(JournalRow(entry, user_id, chat_id, fields, outcome, False, "p"))
        yield User(journal, replay)


def _command(user_id: str, n: int) -> dict[str, str]:
    fields = {"id": f"{user_id}-{n}", "user_id": user_id}
    if n == 0:
        return {"type": "top_up", **fields, "amount": "1000"}
    type_ = CHAT[(n - 1) % len(CHAT)]
    fields |= {"type": type_, "chat_id": f"{user_id}.{(n - 1) // len(CHAT)}"}
    if type_ == "start":
        fields |= {"advisor_id": "v", "rate": "1"}
    return fields | ({"rate": "2"} if type_ == "set_rate" else {})


def fill(engine: Engine, client: redis.Redis, size: Size) -> None:
    """Write everything, as after a daemon's work of years."""
    policy, last = Policy(), f"{T0 + 1_000 * size.commands}-0"
    client.xadd(KEYS.commands, {"handled": "long ago"}, id=last)
    client.xtrim(KEYS.commands, maxlen=0, approximate=False)
    with engine.begin() as connection:
        put_policy(connection, "p", policy_document(policy))
    for some in _batches(users(size, policy)):
        _to_postgres(engine, some)
        _to_redis(client, some)


def _batches(made: Iterator[User]) -> Iterator[list[User]]:
    batch: list[User] = []
    for user in made:
        batch.append(user)
        if len(batch) == USERS_BATCH:
            yield batch
            batch = []
    yield batch


def _to_postgres(engine: Engine, some: list[User]) -> None:
    with engine.begin() as connection:
        write_batch(
            connection,
            [record_row(chat) for user in some for chat in user.replay.chats.values()],
            [ledger_row(entry) for user in some for entry in user.replay.ledger],
            [row for user in some for row in user.journal],
        )


def _to_redis(client: redis.Redis, some: list[User]) -> None:
    """Accounts, wallets and open chats; ended ones left it long ago."""
    values: dict[Any, Any] = {}
    pipeline = client.pipeline(transaction=False)
    for user in some:
        account = user.replay.account
        values[KEYS.account(account.user_id)] = pack_state(user.replay.applied, account)
        values[KEYS.wallet(account.user_id)] = pack_json(wallet_snapshot(account, account.as_of_ms))
        for chat in account.chats.values():
            values[KEYS.chat(chat.chat_id)] = pack_json(chat_snapshot(chat, chat.as_of_ms))
        if account.chats:
            pipeline.sadd(KEYS.open_users, account.user_id)
    if values:
        pipeline.mset(values)
    pipeline.execute()


if __name__ == "__main__":
    fill(make_engine(sys.argv[1]), connect(sys.argv[2]), Size(int(sys.argv[3]), int(sys.argv[4])))
