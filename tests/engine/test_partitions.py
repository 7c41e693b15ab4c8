"""Two partitions on the same servers: each is exact, and neither is the other's.

Both get the same commands under the same stream IDs and idempotency keys, of users of their own.
"""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
import redis
from sqlalchemy import Engine, text

from actors.supervisor.supervisor import SupervisorConfig
from daemon.audit.differences import Difference, Findings
from daemon.audit.run import Audit, Scope
from daemon.recovery.rebuild import Recovery
from meterd.rules.model import Policy
from meterd.rules.partitions import Partition, partition_of
from meterd.rules.redis_keys import Keys
from persistence.errors import NotLeadingError
from persistence.postgres import reader
from persistence.redis.client import connect
from persistence.redis.commit import Limits, ledger_row, pack_state
from persistence.redis.snapshot_scan import SnapshotScan
from tests.engine.harness import idle, running
from tests.engine.play import until, until_state
from tests.load import Entry
from tests.servers import kinds_apart, redis_server
from tests.world import Result, World

SETTINGS: Final = SupervisorConfig(actors_max=2, stop_timeout_ms=1_000)
PARTITIONS: Final = (Partition(0, 2), Partition(1, 2))
POLICY: Final = Policy(warn_ms=())


def _users(partition: Partition, count: int) -> list[str]:
    names = (f"user-{n}" for n in itertools.count())
    return list(itertools.islice(filter(partition.has, names), count))


def _commands(partition: Partition) -> list[dict[str, str]]:
    """A life of some accounts: credits, time, corrections, nonsense, an id that comes again.

    And of what is in the wrong stream, which has no effect, and whose id stands for nothing.
    """
    found: list[dict[str, str]] = []
    pairs = zip(_users(partition, 4), _users(PARTITIONS[1 - partition.number], 4), strict=True)
    for number, (user, other) in enumerate(pairs):
        chat = f"p{partition.number}.{number}"
        tariff, some = {"advisor_id": "v", "rate": "6"}, {"amount": "0.00005"}
        lives: list[dict[str, str]] = [
            {"type": "top_up", "id": f"t{number}", "user_id": other, "amount": "50"},
            {"type": "top_up", "id": f"t{number}", "user_id": user, "amount": "50"},
            {"type": "start", "id": f"s{number}", "chat_id": chat, "user_id": user, **tariff},
            {"type": "pause", "id": f"p{number}", "chat_id": chat, "user_id": user},
            {"type": "adjust", "id": f"a{number}", "user_id": user, "amount": "-1"},
            {"type": "top_up", "id": f"t{number}", "user_id": user, "amount": "50"},
            {"type": "nonsense", "id": f"n{number}"},
            {"type": "end", "id": f"e{number}", "chat_id": chat, "user_id": user},
            {"type": "refund", "id": f"r{number}", "chat_id": chat, "user_id": user, **some},
            {"type": "pause", "id": f"w{number}", "chat_id": chat},
        ]
        found += lives
    return found


def _send(client: redis.Redis, first_ms: int) -> dict[Partition, list[Entry]]:
    """The same places in both streams; the first partition's goes on for one entry more."""
    logs: dict[Partition, list[Entry]] = {one: [] for one in PARTITIONS}
    for partition in PARTITIONS:
        for number, fields in enumerate(_commands(partition)):
            entry = f"{first_ms + number}-0"
            sent: Any = fields
            client.xadd(Keys(partition.number).commands, sent, id=entry)
            logs[partition].append((entry, fields))
    first, last = PARTITIONS[0], {"type": "nonsense", "id": "last"}
    added: Any = client.xadd(Keys(first.number).commands, last)  # type: ignore[arg-type]
    logs[first].append((added.decode(), last))
    return logs


def _fold(partition: Partition, log: list[Entry]) -> tuple[World, dict[str, Result]]:
    world = World(POLICY, partition)
    results = {
        entry: world.feed(entry, [part.encode() for pair in fields.items() for part in pair])
        for entry, fields in log
    }
    return world, results


def _audit(client: redis.Redis, engine: Engine, partition: Partition) -> list[Difference]:
    found: list[Difference] = []
    scan = SnapshotScan(client, Keys(partition.number))
    Audit(engine, scan, Findings(found.append), partition=partition).run(Scope())
    return found


def _assert_exact(engine: Engine, partition: Partition, log: list[Entry]) -> None:
    world, results = _fold(partition, log)
    with engine.connect() as connection:
        rows = list(reader.journal_since(connection, 0, partition=partition.number))
        told = {row.stream_id: row.outcome for row in rows}
        assert told == {entry: result.outcome for entry, result in results.items()}
        for user in world.accounts:
            ledger = {r.entry_id: r for r in reader.ledger_of_user(connection, user, 1_000)}
            expected = [
                ledger_row(one, partition.number)
                for result in results.values()
                for one in result.ledger
                if one.user_id == user
            ]
            assert len(expected) == 4, "top-up, adjustment, charge, refund"
            assert ledger == {row.entry_id: row for row in expected}


@pytest.mark.parametrize("kind", kinds_apart())
def test_what_has_the_same_place_in_two_streams_has_its_effect_in_both(
    kind: str, engine: Engine
) -> None:
    """Journal, ledger and remembered ids of one do not stand in for the other's."""

    async def play(url: str) -> None:
        async with (
            running(url, engine, POLICY, SETTINGS, partition=PARTITIONS[0]),
            running(url, engine, POLICY, SETTINGS, partition=PARTITIONS[1]),
        ):
            for partition in PARTITIONS:
                await idle(url, keys=Keys(partition.number))

    with redis_server(kind) as url, contextlib.closing(connect(url)) as client:
        logs = _send(client, time.time_ns() // 1_000_000 - 1_000)
        asyncio.run(play(url))
        for partition in PARTITIONS:
            _assert_exact(engine, partition, logs[partition])
            assert _audit(client, engine, partition) == []
        client.incr(Keys(1).epoch, -1_000_000)
        kinds = [[one.kind for one in _audit(client, engine, p)] for p in PARTITIONS]
        assert kinds == [[], ["position"]], "an audit is of its own partition"


@pytest.mark.parametrize("kind", kinds_apart())
def test_one_that_has_lost_state_stops_no_other_and_comes_back(kind: str, engine: Engine) -> None:
    """Redis forgets all of partition 1; partition 0 goes on, and a recovery touches 1 alone."""
    zero, one = (Keys(partition.number) for partition in PARTITIONS)

    async def work(url: str) -> None:
        async with contextlib.AsyncExitStack() as stack:
            for each in PARTITIONS:
                await stack.enter_async_context(
                    running(url, engine, POLICY, SETTINGS, partition=each)
                )
            for keys in (zero, one):
                await idle(url, keys=keys)

    async def lose(url: str, client: redis.Redis, more: Any) -> None:
        """Partition 1 is lost while partition 0 handles a command more."""
        async with running(url, engine, POLICY, SETTINGS, partition=PARTITIONS[0]) as ready:
            await until_state(ready, "ready")
            with contextlib.suppress(NotLeadingError):
                async with running(url, engine, POLICY, SETTINGS, partition=PARTITIONS[1]) as lost:
                    await until_state(lost, "lost")
                    entry = client.xadd(zero.commands, more)
                    await until(lambda: not client.xpending(zero.commands, "meterd")["pending"])
                    await idle(url, keys=zero)
                    assert ready.status()["state"] == "ready"
                    report = Recovery(engine, client, one, 86_400_000, Limits(), partitions=2).run(
                        "ann", lambda _: None
                    )
                    assert report.accounts == 4, "those of partition 1"
                    await until_state(lost, "ready")
                    assert isinstance(entry, bytes)

    with redis_server(kind) as url, contextlib.closing(connect(url)) as client:
        logs = _send(client, time.time_ns() // 1_000_000 - 1_000)
        asyncio.run(work(url))
        before = {key: client.dump(key) for key in client.scan_iter(f"{zero.prefix}account:*")}
        for key in client.scan_iter(f"{one.prefix}*"):
            client.delete(key)
        user = _users(PARTITIONS[0], 1)[0]
        more = {"type": "top_up", "id": "more", "user_id": user, "amount": "1"}
        asyncio.run(lose(url, client, more))
        after = {key: client.dump(key) for key in client.scan_iter(f"{zero.prefix}account:*")}
        changed = [key for key in before if before[key] != after[key]]
        assert changed == [zero.account(user).encode()]
        _assert_exact(engine, PARTITIONS[1], logs[PARTITIONS[1]])
        for partition in PARTITIONS:
            assert _audit(client, engine, partition) == []
    with engine.connect() as connection:
        moved = connection.execute(text("SELECT partition FROM recorder_states ORDER BY 1"))
        assert list(moved.scalars()) == ["0", "1"]


CHATS: Final = [f"both-{number}" for number in range(30)]


def _opening(chat: str, user: str, rate: str = "6") -> dict[str, str]:
    who = {"chat_id": chat, "user_id": user, "advisor_id": "v", "rate": rate}
    return {"type": "start", "id": f"s-{chat}-{user}", "reply_to": "r", **who}


def _outcomes(client: redis.Redis, partition: Partition) -> dict[str, str]:
    """Id → outcome of what was answered in a partition."""
    entries: Any = client.xrange(Keys(partition.number).reply("r"))
    return {fields[b"id"].decode(): fields[b"outcome"].decode() for _, fields in entries}


@contextlib.asynccontextmanager
async def _both(url: str, engine: Engine) -> AsyncIterator[None]:
    async with (
        running(url, engine, POLICY, SETTINGS, partition=PARTITIONS[0]),
        running(url, engine, POLICY, SETTINGS, partition=PARTITIONS[1]),
    ):
        yield
        for partition in PARTITIONS:
            await idle(url, keys=Keys(partition.number))


@pytest.mark.parametrize("kind", kinds_apart())
def test_a_chat_id_names_one_chat_in_all_partitions(kind: str, engine: Engine) -> None:
    """Of two users who start it at once one has it; the other's is ``user_mismatch`` from then on.

    The books are exact in both partitions, and an audit comes to the same.
    """
    users = [_users(partition, 1)[0] for partition in PARTITIONS]

    with redis_server(kind) as url, contextlib.closing(connect(url)) as client:
        for partition, user in zip(PARTITIONS, users, strict=True):
            top_up: Any = {"type": "top_up", "id": "t", "user_id": user, "amount": "1000"}
            client.xadd(Keys(partition.number).commands, top_up)
        asyncio.run(_start_and_end_in_both(url, engine, client, users))
        told = [_outcomes(client, partition) for partition in PARTITIONS]
        with engine.connect() as connection:
            records = reader.fetch_records(connection, CHATS)
        for chat in CHATS:
            starts = [told[n][f"s-{chat}-{users[n]}"] for n in range(2)]
            assert sorted(starts) == ["ok", "user_mismatch"], chat
            owner = starts.index("ok")
            assert told[owner][f"e-{chat}"] == "ok"
            assert told[1 - owner][f"e-{chat}"] == "user_mismatch"
            assert records[chat].user_id == users[owner]
        for partition in PARTITIONS:
            assert _audit(client, engine, partition) == []
            assert _recovered_users(engine, client, partition) == [users[partition.number]]


async def _start_and_end_in_both(
    url: str, engine: Engine, client: redis.Redis, users: list[str]
) -> None:
    """Each chat is started in both partitions, in turns the one first and the other."""
    pairs = list(zip(PARTITIONS, users, strict=True))
    async with _both(url, engine):
        for number, chat in enumerate(CHATS):
            for partition, user in pairs[:: (-1) ** number]:
                sent: Any = _opening(chat, user)
                client.xadd(Keys(partition.number).commands, sent)
            await asyncio.sleep(0)
        for partition in PARTITIONS:
            await idle(url, keys=Keys(partition.number))
        for partition, user in pairs:
            for chat in CHATS:
                end = {"type": "end", "id": f"e-{chat}", "chat_id": chat, "user_id": user}
                sent = {**end, "reply_to": "r"}
                client.xadd(Keys(partition.number).commands, sent)


def _recovered_users(engine: Engine, client: redis.Redis, partition: Partition) -> list[str]:
    """The users whose accounts a recovery would write as they are in Redis."""
    folded = Recovery(engine, client, Keys(partition.number), 1, Limits(), partitions=2)._folded()
    users = list[str]()
    for one in folded:
        raw: Any = client.get(Keys(partition.number).account(one.user))
        assert raw.decode() == pack_state(one.replay.applied, one.replay.account)
        users.append(one.user)
    return users


@pytest.mark.parametrize("kind", kinds_apart())
def test_a_start_that_was_refused_leaves_the_chat_to_others(kind: str, engine: Engine) -> None:
    """In whichever partition; one that ended in the same moment has started all the same."""
    (poor,), (rich,) = (_users(partition, 1) for partition in PARTITIONS)
    owner = Keys(partition_of(CHATS[0], 2)).owner(CHATS[0])

    async def play(url: str, client: redis.Redis) -> None:
        zero, one = (Keys(partition.number).commands for partition in PARTITIONS)
        top_up: Any = {"type": "top_up", "id": "t", "user_id": rich, "amount": "1000"}
        async with _both(url, engine):
            client.xadd(one, top_up)
            client.xadd(zero, _opening(CHATS[0], poor))  # type: ignore[arg-type]
            await idle(url, keys=Keys(0))
            await until(lambda: not client.exists(owner))
            pipeline = client.pipeline()
            pipeline.xadd(one, _opening(CHATS[0], rich))  # type: ignore[arg-type]
            end = {"type": "end", "id": "e", "chat_id": CHATS[0], "user_id": rich}
            pipeline.xadd(one, end)  # type: ignore[arg-type]
            pipeline.execute()
            await idle(url, keys=Keys(1))
            again: Any = {**_opening(CHATS[0], poor, rate="0"), "id": "again"}
            client.xadd(zero, again)

    with redis_server(kind) as url, contextlib.closing(connect(url)) as client:
        asyncio.run(play(url, client))
        zero, one = (_outcomes(client, partition) for partition in PARTITIONS)
        assert zero == {f"s-{CHATS[0]}-{poor}": "insufficient_credits", "again": "user_mismatch"}
        assert one == {f"s-{CHATS[0]}-{rich}": "ok"}
        for partition in PARTITIONS:
            assert _audit(client, engine, partition) == []
