"""What was imported from another system is used as if it had been here: chats and balances."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

import pytest
import redis
from sqlalchemy import Engine

from actors.chat.rows import record_row
from actors.supervisor.supervisor import SupervisorConfig
from daemon.audit.history import ChatHistory
from daemon.audit.opening_state import fetch_opening_states
from daemon.legacy.rules.imported_chats import ended_chat
from daemon.legacy.rules.rows import ImportedChat
from daemon.recovery.rebuild import Recovery
from meterd.rules.model import Account, Policy
from meterd.rules.opening_balance import OpeningEntry, opened, opening_entry, opening_number
from persistence.errors import UnverifiedStateError
from persistence.postgres import reader
from persistence.postgres.writer import write_batch
from persistence.redis.client import connect
from persistence.redis.commit import Limits, read_policy
from persistence.redis.opening_balances import Opening, Openings
from tests.audit_check import assert_clean
from tests.engine.harness import KEYS, idle, running
from tests.engine.play import outcomes, send, until
from tests.servers import kinds, redis_server

SETTINGS = SupervisorConfig(actors_max=2)
T = 1_700_000_000_000
OLD = ImportedChat("old.1", "old", "v", T, T + 90_000, 60_000, 3_000_000)
DAY_MS = 86_400_000


def bring(engine: Engine, *chats: ImportedChat) -> None:
    """Records as a migration writes them."""
    with engine.begin() as connection:
        write_batch(connection, [record_row(ended_chat(chat)) for chat in chats], [], [])


def open_accounts(client: redis.Redis, balances: dict[str, int], at: int = T) -> list[bool]:
    """Open these users' accounts, or fix what they were opened with."""
    openings = Openings(client, KEYS)
    found = openings.read(list(balances))
    return openings.open([_opening(*found[user], balances[user], at) for user in balances])


def _opening(head: str, account: Account, balance: int, at: int) -> Opening:
    number = (opening_number(head) or 0) + 1
    amount = balance - account.settled_micro
    entry = opening_entry(account.user_id, number, amount, at)
    return Opening(head, opened(account, OpeningEntry(number, amount, at)), entry)


def _sent(client: redis.Redis, *commands: dict[str, str]) -> list[str]:
    return [send(client, **fields) for fields in commands]


def _told(client: redis.Redis, entries: Sequence[str]) -> list[str]:
    told = outcomes(client)
    return [told[entry] for entry in entries]


@pytest.mark.parametrize("kind", kinds())
def test_a_migrated_chat_is_an_ended_one(kind: str, engine: Engine) -> None:
    """It can't be opened or changed; its cost can be given back once, and the account has it."""
    old: dict[str, str] = {"chat_id": "old.1", "user_id": "old"}
    carried = {"started_at": "5", "carried_ms": "7", "carried_cost": "3"}

    async def play(url: str, client: redis.Redis) -> None:
        bring(engine, OLD)
        async with running(url, engine, Policy(), SETTINGS):
            entries = _sent(
                client,
                {"type": "start", "advisor_id": "v", **old},
                {"type": "adopt", "advisor_id": "v", **carried, **old},
                {"type": "pause", "chat_id": "old.1"},
                {"type": "end", **old},
                {"type": "refund", "chat_id": "old.1", "amount": "1"},
                {"type": "refund", "chat_id": "old.1", "amount": "2.000001"},
                {"type": "refund", **old, "amount": "2"},
                {"type": "heartbeat", "chat_id": "old.1", "user_id": "other"},
                {"type": "start", "chat_id": "n", "user_id": "old", "advisor_id": "v"},
            )
            await idle(url)
        assert _told(client, entries) == [
            "already_ended", "already_ended", "already_ended", "already_ended",
            "ok", "exceeds_cost", "ok", "user_mismatch", "ok",
        ]  # fmt: skip

    with redis_server(kind) as url, contextlib.closing(connect(url)) as client:
        asyncio.run(play(url, client))
        with engine.connect() as connection:
            record = reader.fetch_records(connection, ["old.1"])["old.1"]
            (settled,) = (e for e in reader.ledger_of_user(connection, "old", 9)[-1:])
            history = _history(engine, "old.1", "old")
        as_it_came = record_row(ended_chat(OLD))
        assert record._replace(updated_at_ms=0) == as_it_came._replace(
            refunded_micro=3_000_000, seq=3, updated_at_ms=0
        )
        assert (record.source, record.billed_ms, settled.kind) == ("migrated", 60_000, "refund")
        assert history.count("chat.refunded") == 2
        assert_clean(engine, url)
        client.flushall()
        Recovery(engine, client, KEYS, DAY_MS, Limits()).run("ann", lambda _: None)
        assert_clean(engine, url)


def _history(engine: Engine, chat_id: str, user: str) -> list[str]:
    with engine.connect() as connection:
        policies = {k: read_policy(v) for k, v in reader.fetch_policies(connection).items()}
        history = ChatHistory(chat_id, user, policies, fetch_opening_states(connection, user))
        return [line.event for line in history.lines(reader.journal_of_user(connection, user))]


def test_what_was_decided_before_a_chat_was_brought_counts(engine: Engine) -> None:
    """A chat that came later was unknown, to its user and to others; the audit believes that."""
    pause = {"type": "pause", "chat_id": "old.1"}
    early = [pause, {**pause, "user_id": "old"}, {**pause, "user_id": "other"}]

    async def play(url: str, client: redis.Redis) -> None:
        async with running(url, engine, Policy(), SETTINGS):
            entries = _sent(client, *early)
            await idle(url)
            bring(engine, OLD)
            entries += _sent(client, *early)
            await idle(url)
        assert _told(client, entries) == [
            "unknown_chat", "unknown_chat", "unknown_chat",
            "already_ended", "already_ended", "user_mismatch",
        ]  # fmt: skip

    with redis_server() as url, contextlib.closing(connect(url)) as client:
        asyncio.run(play(url, client))
        assert_clean(engine, url)


@pytest.mark.parametrize("kind", kinds())
def test_an_opened_account_is_used_like_any(kind: str, engine: Engine) -> None:
    """Wallet, ledger and fold agree from the opening on; once it is used, it is not opened again,
    and Redis can lose it at any time."""

    async def play(url: str, client: redis.Redis) -> None:
        async with running(url, engine, Policy(), SETTINGS):
            await until(lambda: client.get(KEYS.instance_id))
            assert open_accounts(client, {"a": 1_000_000, "b": 5, "c": 7}) == [True, True, True]
            assert open_accounts(client, {"b": 9, "c": 0}, T + 1) == [True, True]
            entries = _sent(
                client,
                {"type": "start", "chat_id": "x", "user_id": "a", "advisor_id": "v"},
                {"type": "end", "chat_id": "x"},
                {"type": "start", "chat_id": "y", "user_id": "c", "advisor_id": "v"},
            )
            await idle(url)
            assert _told(client, entries) == ["ok", "ok", "insufficient_credits"]
            head, account = Openings(client, KEYS).read(["a"])["a"]
            assert opening_number(head) is None
            refused = _opening("0-1", account, 3_000_000, T)
            assert Openings(client, KEYS).open([refused]) == [False]
            assert Openings(client, KEYS).open([refused._replace(before=head)]) == [False]
            assert open_accounts(client, {"b": 10, "d": 1}, T + 2) == [True, True]

    with redis_server(kind) as url, contextlib.closing(connect(url)) as client:
        asyncio.run(play(url, client))
        with engine.connect() as connection:
            rows = reader.ledger_of_user(connection, "b", 9)
        told = [(row.entry_id, row.amount_micro, row.at_ms) for row in reversed(rows)]
        assert told == [
            ("migrated:b:1", 5, T), ("migrated:b:2", 4, T + 1), ("migrated:b:3", 1, T + 2),
        ]  # fmt: skip
        assert_clean(engine, url)
        before = {name: client.get(name) for name in _accounts(client)}
        client.flushall()
        Recovery(engine, client, KEYS, DAY_MS, Limits()).run("ann", lambda _: None)
        assert {name: client.get(name) for name in _accounts(client)} == before
        assert_clean(engine, url)


def _accounts(client: redis.Redis) -> list[Any]:
    return [*client.keys(KEYS.account("*")), *client.keys(KEYS.wallet("*"))]


def test_nothing_is_opened_in_a_redis_that_nobody_vouches_for(engine: Engine) -> None:
    """It may have lost the account that it says is not there."""

    async def play(url: str, client: redis.Redis) -> None:
        async with running(url, engine, Policy(), SETTINGS):
            await until(lambda: client.get(KEYS.instance_id))

    with redis_server() as url, contextlib.closing(connect(url)) as client:
        asyncio.run(play(url, client))
        client.delete(KEYS.instance_id)
        with pytest.raises(UnverifiedStateError):
            open_accounts(client, {"a": 1})
        assert not client.exists(KEYS.account("a"))


def test_the_first_command_goes_on_from_the_opening(engine: Engine) -> None:
    """Its wallet is numbered after the opening's."""

    async def play(url: str, client: redis.Redis) -> None:
        async with running(url, engine, Policy(), SETTINGS):
            await until(lambda: client.get(KEYS.instance_id))
            open_accounts(client, {"a": 5})
            wallet: Any = client.get(KEYS.wallet("a"))
            assert wallet == (
                b'{"user_id":"a","as_of":%d,"balance":"0.000005","burn_rate":"0.000000",'
                b'"zero_at":null,"open_chats":0,"seq":1}' % T
            )
            _sent(client, {"type": "top_up", "user_id": "a", "amount": "1"})
            await idle(url)
            events: Any = client.xrange(KEYS.events)
            assert [fields[b"seq"] for _, fields in events] == [b"2"]

    with redis_server() as url, contextlib.closing(connect(url)) as client:
        asyncio.run(play(url, client))
