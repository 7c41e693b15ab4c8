"""Redis loses its memory: nothing is billed on, and what Postgres knows comes back."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import pytest
import redis
from sqlalchemy import Engine, text

from actors.supervisor.supervisor import Supervisor, SupervisorConfig
from daemon.audit.differences import Difference, Findings
from daemon.audit.run import Audit, Scope
from daemon.errors import RecoverError
from daemon.recovery.rebuild import Recovery
from loadtests.common.queue import is_handled
from loadtests.common.timeouts import scaled
from meterd.rules.idempotency import IdempotencyRecord
from meterd.rules.model import Policy
from persistence.errors import NotLeadingError
from persistence.postgres.tables import metadata
from persistence.redis.client import connect
from persistence.redis.clock_hold import clear_hold, read_hold
from persistence.redis.commit import Limits
from persistence.redis.functions import load_functions, source
from persistence.redis.snapshot_scan import SnapshotScan
from tests.books import assert_balanced
from tests.engine.harness import KEYS, idle, running
from tests.load import Entry, Load, Sender
from tests.servers import kinds, redis_server

SETTINGS = SupervisorConfig(actors_max=2, batch_max=50)
DAY_MS = 86_400_000

Copy = dict[bytes, tuple[bytes, int]]
Lose = Callable[[redis.Redis, Copy], None]


def copy_of(client: redis.Redis) -> Copy:
    """All keys as they are, as a copy of the server's files would have them."""
    names: Any = client.keys("*")
    return {name: (client.dump(name), max(0, client.pttl(name))) for name in names}  # type: ignore[misc]


def _older_copy(client: redis.Redis, copy: Copy) -> None:
    client.flushall()
    client.function_load(source(), replace=True)  # as a restart would: the process forgets
    for name, (value, ttl_ms) in copy.items():
        client.restore(name, ttl_ms, value)
    client.delete(KEYS.leader, KEYS.events)


def _empty(client: redis.Redis, _copy: Copy) -> None:
    client.flushall()


def _recovery(client: redis.Redis, engine: Engine) -> Recovery:
    return Recovery(engine, client, KEYS, DAY_MS, Limits())


def _assert_audited(client: redis.Redis, engine: Engine) -> None:
    found: list[Difference] = []
    Audit(engine, SnapshotScan(client, KEYS), Findings(found.append)).run(Scope())
    assert found == []


async def _until_state(supervisor: Supervisor, state: str) -> None:
    async with asyncio.timeout(scaled(20)):
        while supervisor.status()["state"] != state:
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("kind", kinds())
@pytest.mark.parametrize("lose", [_empty, _older_copy])
def test_what_the_journal_knows_comes_back_and_goes_on(
    kind: str, lose: Lose, engine: Engine
) -> None:
    """The daemon sees the loss, decides nothing, and goes on by itself once Redis is rebuilt.

    The books balance to the end as if nothing had happened, since everything had reached
    Postgres; commands that came in meanwhile are handled.
    """

    async def play(url: str, client: redis.Redis) -> list[Entry]:
        sender = Sender(client, Load(users=6, chats_per_user=3, seed=7))
        async with running(url, engine, Policy(), SETTINGS):
            await asyncio.to_thread(sender.begin)
            await idle(url)
            copy = copy_of(client)
            await asyncio.to_thread(sender.send_for, 1, 200)
            await idle(url)
        lose(client, copy)
        async with running(url, engine, Policy(), SETTINGS) as supervisor:
            await _until_state(supervisor, "lost")
            assert "meterd recover" in supervisor.status()["why"]
            await asyncio.to_thread(sender.send_for, 0.5, 200)
            assert not client.exists(KEYS.events), "nothing happens to anybody"
            report = await asyncio.to_thread(_recovery(client, engine).run, "ann", _count)
            assert report.accounts == 6
            assert report.commands_left >= 100
            await _until_state(supervisor, "ready")
            await asyncio.to_thread(sender.finish)
            await idle(url)
        return sender.log

    with redis_server(kind) as url, contextlib.closing(connect(url)) as client:
        log = asyncio.run(play(url, client))
        assert_balanced_but_events(client, engine, log)
        _assert_audited(client, engine)
    with engine.connect() as connection:
        acts = connection.execute(text("SELECT operation, done_by FROM operations")).all()
    assert acts == [("recover", "ann")]


def assert_balanced_but_events(client: redis.Redis, engine: Engine, log: list[Entry]) -> None:
    """Events were in Redis only: those before the loss are gone, and no snapshot needs them."""
    client.delete(KEYS.events)
    assert_balanced(client, engine, log)


def _count(_accounts: int) -> None:
    pass


def test_ids_are_remembered_across_the_loss(engine: Engine) -> None:
    """A command that was sent before the loss and comes again after it has no second effect."""

    async def play(url: str, client: redis.Redis) -> None:
        fields: Any = {"type": "top_up", "id": "k", "user_id": "u", "amount": "5"}
        async with running(url, engine, Policy(), SETTINGS):
            client.xadd(KEYS.commands, fields)
            await idle(url)
        client.flushall()
        _recovery(client, engine).run("ann", _count)
        async with running(url, engine, Policy(), SETTINGS):
            client.xadd(KEYS.commands, {**fields, "reply_to": "me"})
            await idle(url)
        replies: Any = client.xrange(KEYS.reply("me"))
        assert [(f[b"outcome"], f[b"replayed"]) for _, f in replies] == [(b"ok", b"1")]
        _assert_audited(client, engine)

    with redis_server() as url, contextlib.closing(connect(url)) as client:
        asyncio.run(play(url, client))


def test_nothing_that_is_whole_or_another_ones_is_touched(engine: Engine) -> None:
    """Only a Redis that has forgotten is rebuilt."""

    async def play(url: str, client: redis.Redis) -> None:
        fields: Any = {"type": "top_up", "id": "k", "user_id": "u", "amount": "5"}
        async with running(url, engine, Policy(), SETTINGS):
            client.xadd(KEYS.commands, fields)
            await idle(url)

    with redis_server() as url, contextlib.closing(connect(url)) as client:
        asyncio.run(play(url, client))
        before = copy_of(client).keys()
        with pytest.raises(RecoverError, match="nothing is missing"):
            _recovery(client, engine).run("ann", _count)
        assert copy_of(client).keys() >= before - {KEYS.leader.encode()}
        client.set(KEYS.instance_id, "another")
        with pytest.raises(RecoverError, match="another one"):
            _recovery(client, engine).run("ann", _count)
        assert client.exists(KEYS.account("u"))


@pytest.mark.parametrize("kind", kinds())
def test_ids_of_credits_are_remembered_for_longer(kind: str, engine: Engine) -> None:
    """After 26 hours a payment's id still has its first answer; a start's is new again."""

    async def play(url: str, client: redis.Redis) -> None:
        seconds, _ = client.time()
        sent_ms = seconds * 1_000 - 26 * 3_600_000
        top_up = {"type": "top_up", "id": "payment", "user_id": "u", "amount": "5"}
        start = {"type": "start", "id": "begin", "chat_id": "c", "user_id": "u", "rate": "0"}
        for number, fields in enumerate([top_up, start | {"advisor_id": "v"}]):
            client.xadd(KEYS.commands, fields, id=f"{sent_ms}-{number}")  # type: ignore[arg-type]
        async with running(url, engine, Policy(), SETTINGS):
            await idle(url)

    with redis_server(kind) as url, contextlib.closing(connect(url)) as client:
        asyncio.run(play(url, client))
        client.flushall()
        load_functions(client)
        assert _recovery(client, engine).run("ann", _count).ids == 1
        record = IdempotencyRecord.unpacked(client.get(KEYS.id("payment")).decode())  # type: ignore[union-attr]
        assert record.outcome == "ok"
        assert 28 * DAY_MS < client.pttl(KEYS.id("payment")) < 30 * DAY_MS
        assert not client.exists(KEYS.id("begin"))


class Standby:
    """What Postgres knew at one moment, and takes over with: the rows after it are gone."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        with engine.begin() as connection:
            connection.execute(text("CREATE SCHEMA standby"))
            for table in metadata.tables:
                connection.execute(text(f"CREATE TABLE standby.{table} AS TABLE public.{table}"))

    def take_over(self) -> None:
        with self._engine.begin() as connection:
            connection.execute(text("SET LOCAL session_replication_role = replica"))
            for table in metadata.tables:
                connection.execute(text(f"DELETE FROM public.{table}"))
                connection.execute(
                    text(f"INSERT INTO public.{table} SELECT * FROM standby.{table}")
                )
            connection.execute(text("DROP SCHEMA standby CASCADE"))


@pytest.mark.parametrize("kind", kinds())
@pytest.mark.parametrize("is_running", [False, True])
def test_a_postgres_that_forgot_its_last_rows_is_noticed_and_gets_them_again(
    is_running: bool, kind: str, engine: Engine
) -> None:
    """As a standby that was behind when it took over: the daemon finds it at its start, or while
    it runs, and bills nothing until somebody decides.

    The commands are still in the stream: journal, records and ledger are those of the fold again.
    """

    async def play(url: str, client: redis.Redis) -> list[Entry]:
        sender = Sender(client, Load(users=6, chats_per_user=2, seed=5))
        with contextlib.suppress(NotLeadingError):
            async with running(url, engine, Policy(), SETTINGS) as supervisor:
                await asyncio.to_thread(sender.begin)
                await _until_written(client)
                standby = await asyncio.to_thread(Standby, engine)
                await asyncio.to_thread(sender.send_for, 0.5, 300)
                await _until_written(client)
                if is_running:
                    await asyncio.to_thread(standby.take_over)
                    await asyncio.to_thread(sender.send_for, 0.2, 300)
                    await _until_over(supervisor)
        if not is_running:
            standby.take_over()
            with contextlib.suppress(NotLeadingError):
                async with running(url, engine, Policy(), SETTINGS) as supervisor:
                    await _until_over(supervisor)
        return await _recovered(url, client, sender)

    async def _recovered(url: str, client: redis.Redis, sender: Sender) -> list[Entry]:
        with contextlib.suppress(NotLeadingError):
            async with running(url, engine, Policy(), SETTINGS) as supervisor:
                await _until_state(supervisor, "lost")
                assert "Postgres has lost state" in supervisor.status()["why"]
                report = await asyncio.to_thread(_recovery(client, engine).run, "ann", _count)
                assert report.commands_left >= 100
                await _until_state(supervisor, "ready")
                await asyncio.to_thread(sender.finish)
                await idle(url)
        return sender.log

    with redis_server(kind) as url, contextlib.closing(connect(url)) as client:
        log = asyncio.run(play(url, client))
        assert_balanced_but_events(client, engine, log)
        _assert_audited(client, engine)


async def _until_over(supervisor: Supervisor) -> None:
    """It leads no more; the daemon begins anew, by comparing both servers."""
    async with asyncio.timeout(scaled(20)):
        while not supervisor.is_over:
            await asyncio.sleep(0.02)


async def _until_written(client: redis.Redis) -> None:
    """Everything has had its effect, and Postgres has it."""
    async with asyncio.timeout(scaled(30)):
        while not is_handled(client):
            await asyncio.sleep(0.02)


def test_a_decision_that_waits_for_postgres_is_not_lost_with_its_rows(engine: Engine) -> None:
    """No command would make it again: the recovery writes it from the outbox."""

    async def play(url: str, client: redis.Redis) -> None:
        fields: Any = {"type": "top_up", "id": "k", "user_id": "u", "amount": "5"}
        async with running(url, engine, Policy(), SETTINGS):
            client.xadd(KEYS.commands, fields)
            await _until_written(client)

    with redis_server() as url, contextlib.closing(connect(url)) as client:
        asyncio.run(play(url, client))
        client.set(KEYS.clock_hold, '{"step_ms": 9000, "queue_ms": 1}')
        hold = read_hold(client, KEYS)
        assert hold is not None
        assert clear_hold(client, KEYS, hold, "bob", 1)
        client.set(KEYS.outbox_delivered, "99999999999999-0")  # Postgres knows less than that
        _recovery(client, engine).run("ann", _count)
    with engine.connect() as connection:
        acts = connection.execute(text("SELECT operation, done_by FROM operations")).all()
    assert sorted(map(tuple, acts)) == [("clock.accept", "bob"), ("recover", "ann")]
