"""Final records a second: the recorder, against one client with the same rows and batches.

The rows come from real commits that end chats, left in a real outbox. Both write into fresh
databases of one server.
"""

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import redis
from sqlalchemy import Engine, make_url, text

from actors.recorder import Recorder, RecorderConfig, write_entries
from loadtests.bench.figures import BenchFigures
from loadtests.bench.max_throughput import Decider, push
from loadtests.bench.plan import BenchPlan
from loadtests.bench.servers import Servers
from loadtests.bench.throughput import PER_S
from loadtests.bench.wire import Wire, encode
from loadtests.bench.workload_model import EncodedWorkload
from loadtests.common.servers import folder
from meterd.rules.redis_keys import Keys
from persistence.postgres import migrate
from persistence.postgres.engine import make_engine
from persistence.postgres.recorder_state import RecorderClaim, claim_recorder
from persistence.redis.client import connect
from persistence.redis.commit import unpack_stored
from persistence.redis.outbox import Outbox, OutboxEntry

BATCH: Final = RecorderConfig().batch_max
MEMORY: Final = "bench"
EPOCH: Final = 10**9
"""Later than any that the decider has been given."""
ACTOR: Final = "recorder"
KEYS: Final = Keys()
ENDED_TTL_MS: Final = 86_400_000


class WrongCountError(Exception):
    """A side wrote another number of final records than there are."""


class Bench(NamedTuple):
    """Both servers, and the outbox's entries as they were written."""

    redis_url: str
    postgres_url: str
    entries: list[Any]


Work = Callable[[Bench, Engine], float]
"""Writes all entries into the database; returns how many seconds that took."""


def measure(plan: BenchPlan, figures: BenchFigures) -> None:
    """Round by round, the recorder and the client."""
    with _servers() as (redis_url, postgres_url):
        plan.say(f"{plan.sizes.records:,} chats that end")
        bench = Bench(redis_url, postgres_url, list(_entries(redis_url, plan.sizes.records)))
        numbers = itertools.count()
        for number in range(1, plan.rounds + 1):
            plan.say(f"round {number}: the recorder")
            ours = _timed(bench, next(numbers), _record)
            plan.say(f"round {number}: one client")
            theirs = _timed(bench, next(numbers), _upsert)
            figures.add("recorder_per_s", ours, PER_S)
            figures.add("client_per_s", theirs, PER_S)
            figures.add("ratio", ours / theirs, "x")


@contextlib.contextmanager
def _servers() -> Iterator[tuple[str, str]]:
    with folder() as place:
        servers = Servers(place / "servers")
        try:
            urls = servers.start()
            assert urls.redis_url, "a server was asked for"
            assert urls.postgres_url, "a server was asked for"
            yield urls.redis_url, urls.postgres_url
        finally:
            servers.kill()


def _entries(url: str, count: int) -> Iterator[Any]:
    """What the outbox gets as so many chats end."""
    workload = EncodedWorkload("e")
    with connect(url) as client, Wire(url) as wire:
        decider = Decider(client, KEYS)
        wire.blast(workload.open(count))
        push(wire, decider.head, list(decider.decide()))
        client.delete(KEYS.outbox)
        wire.blast(workload.ends())
        push(wire, decider.head, list(decider.decide()))
        yield from _pages(client)


def _pages(client: redis.Redis) -> Iterator[Any]:
    after = "-"
    while page := _page(client, after):
        yield from page
        after = f"({page[-1][0].decode()}"


def _page(client: redis.Redis, after: str) -> list[Any]:
    page: Any = client.xrange(KEYS.outbox, min=after, count=BATCH)
    return list(page)


def _timed(bench: Bench, number: int, work: Work) -> float:
    """Records a second of one side, in a database of its own."""
    with _database(bench.postgres_url, f"bench_{number}") as engine:
        took_s = work(bench, engine)
        with engine.connect() as connection:
            ended = "SELECT count(*) FROM chat_time_records WHERE ended_at IS NOT NULL"
            found = connection.execute(text(ended)).scalar_one()
    if found != len(bench.entries):
        raise WrongCountError(f"{found} of {len(bench.entries)} records are final")
    return len(bench.entries) / took_s


def _record(bench: Bench, engine: Engine) -> float:
    """The recorder on an outbox that is full when it begins; seconds until it is empty."""
    with connect(bench.redis_url) as client:
        _fill(bench, client)
        client.hset(KEYS.epochs, ACTOR, str(EPOCH))
        with engine.begin() as connection:
            claim_recorder(connection, KEYS.partition, MEMORY)
        outbox = Outbox(client, KEYS, ENDED_TTL_MS, ACTOR, str(EPOCH))
        claim = RecorderClaim(KEYS.partition, MEMORY, EPOCH)
        recorder = Recorder(outbox, engine, claim, ("0" * 16, {}), RecorderConfig())
        began_s = time.perf_counter()
        while recorder.move(0):
            pass
        took_s = time.perf_counter() - began_s
        assert not recorder.trouble, recorder.trouble
    return took_s


def _fill(bench: Bench, client: redis.Redis) -> None:
    # Each round has a database of its own, to which nothing was delivered yet.
    client.delete(KEYS.outbox, KEYS.outbox_delivered)
    with Wire(bench.redis_url) as wire:
        wire.blast(
            [encode("XADD", KEYS.outbox, entry, "facts", f[b"facts"]) for entry, f in bench.entries]
        )


def _upsert(bench: Bench, engine: Engine) -> float:
    """One client that has the rows already; seconds for all of them."""
    outbox = [OutboxEntry(e.decode(), unpack_stored(f[b"facts"])) for e, f in bench.entries]
    batches = [outbox[i : i + BATCH] for i in range(0, len(outbox), BATCH)]
    began_s = time.perf_counter()
    for batch in batches:
        with engine.begin() as connection:
            write_entries(connection, batch, 0)
    return time.perf_counter() - began_s


@contextlib.contextmanager
def _database(server_url: str, name: str) -> Iterator[Engine]:
    """A fresh database with meterd's tables, which goes again."""
    _run(server_url, f"CREATE DATABASE {name}")
    url = make_url(server_url).set(database=name).render_as_string(hide_password=False)
    migrate.upgrade(url)
    engine = make_engine(url, pool_size=1)
    try:
        yield engine
    finally:
        engine.dispose()
        _run(server_url, f"DROP DATABASE {name} WITH (FORCE)")


def _run(url: str, sql: str) -> None:
    """What can't be done in a transaction."""
    engine = make_engine(url).execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(sql))
    engine.dispose()
