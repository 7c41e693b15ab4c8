"""Do the books balance: what is in Postgres and Redis against the fold of what was sent."""

from collections.abc import Collection, Mapping

import msgspec
import redis
from sqlalchemy import Engine

from actors.chat.rows import record_row
from meterd.rules.free_time import shares
from meterd.rules.model import Policy
from meterd.rules.money import format_micro
from meterd.rules.partitions import ONLY, Partition
from meterd.rules.redis_keys import Keys
from meterd.rules.snapshots import wallet_snapshot
from persistence.postgres import reader
from persistence.postgres.rows import JournalRow
from tests.load import Entry, fold
from tests.world import World


def assert_balanced(
    client: redis.Redis,
    engine: Engine,
    log: list[Entry],
    policy: Policy | None = None,
    partition: Partition = ONLY,
) -> World:
    """Outcomes, records, ledger and wallets are those of the fold, every entry once.

    The log must leave nothing that time alone would still change.
    """
    keys = Keys(partition.number)
    world = World(policy or Policy(), partition)
    _assert_outcomes(engine, fold(world, log), partition)
    chats = {chat_id: world.chat(chat_id) for chat_id in world.owner}
    with engine.connect() as connection:
        rows = reader.fetch_records(connection, list(chats))
    assert rows == {k: record_row(chat) for k, chat in chats.items() if chat is not None}
    _assert_money(client, engine, world, keys)
    sharing = {k for k, chat in chats.items() if chat is not None and shares(chat)}
    _assert_seqs(client, sharing, keys)
    return world


def _assert_outcomes(engine: Engine, expected: Mapping[str, str], partition: Partition) -> None:
    with engine.connect() as connection:
        rows = list(reader.journal_since(connection, 0, partition=partition.number))
    commands = {row.stream_id: row.outcome for row in rows if not _is_settle(row)}
    assert commands == expected, "every entry has one outcome, the fold's"


def _is_settle(row: JournalRow) -> bool:
    return row.fields.get("type") == "settle"


def _assert_money(client: redis.Redis, engine: Engine, world: World, keys: Keys) -> None:
    with engine.connect() as connection:
        for user, account in world.accounts.items():
            ledger = reader.ledger_of_user(connection, user, 1_000_000)
            balance = format_micro(sum(entry.amount_micro for entry in ledger))
            assert balance == wallet_snapshot(account, account.as_of_ms)["balance"]
            raw = client.get(keys.wallet(user))
            if isinstance(raw, bytes):
                assert msgspec.json.decode(raw)["balance"] == balance


def _assert_seqs(client: redis.Redis, sharing: Collection[str], keys: Keys) -> None:
    """Per chat, events carry 1, 2, 3 … in order of time.

    Without a gap, but for chats that share free time: that moves without an event.
    """
    seqs: dict[bytes, list[tuple[int, int]]] = {}
    events = client.xrange(keys.events)
    for _, fields in events:  # type: ignore[union-attr]
        if b"chat_id" in fields:  # type: ignore[operator]
            seqs.setdefault(fields[b"chat_id"], []).append(  # type: ignore[index, arg-type]
                (int(fields[b"seq"]), int(fields[b"at"]))  # type: ignore[index]
            )
    for chat, told in seqs.items():
        numbers = [seq for seq, _ in told]
        gapless = list(range(1, len(told) + 1))
        allowed = sorted(set(numbers)) if chat.decode() in sharing else gapless
        assert numbers == allowed, chat
        assert [at for _, at in told] == sorted(at for _, at in told), chat
