"""Recorders that overlap, on a real Postgres: nothing is lost, nothing twice, the last one counts.

An old one may hang before its transaction, or between its commit and removing the entries from the
outbox, while others take its claim.
"""

import contextlib
import random
from collections.abc import Iterator
from typing import Any, cast

import pytest
import redis
from sqlalchemy import Engine, select, text

from actors.recorder import OVER, Recorder, RecorderConfig
from persistence.postgres import recorder_state
from persistence.postgres.recorder_state import RecorderClaim, claim_recorder
from persistence.postgres.tables import recorder_states
from persistence.redis.client import connect
from persistence.redis.commit import OutboxPayload, policy_document, unpack_payload
from persistence.redis.functions import function_name, load_functions
from persistence.redis.outbox import Outbox
from tests.interleavings.invariant_monitor import Call, Clock, InvariantMonitor
from tests.interleavings.play_runner import without_pauses
from tests.interleavings.stepped_threads import Server, SteppedClient, SteppedThread
from tests.persistence.kept import KEYS, POLICY, Watched, lead, send, work
from tests.seeds import new_seeds
from tests.servers import redis_server

SEEDS = new_seeds("recorders", 8, 32)
MEMORY = "kept"
TABLES = ("command_journal", "ledger_entries", "chat_time_records")


class PlayedRecorder:
    """A real recorder that stops at each of its round trips to Redis, before and after it."""

    def __init__(self, engine: Engine, epoch: str) -> None:
        outbox = Outbox(cast("redis.Redis", SteppedClient()), KEYS, 86_400_000, "recorder", epoch)
        claim = RecorderClaim(KEYS.partition, MEMORY, int(epoch))
        policy = ("kept", policy_document(POLICY))
        self.recorder = Recorder(outbox, engine, claim, policy, RecorderConfig(batch_max=4))
        self.is_over = False
        self._thread = SteppedThread()
        self._answers: list[Any] | None = None

    def step(self, server: Server, is_lost: bool) -> None:
        """Begin, or have the request answered, or take the answer (which may be lost)."""
        if self._thread.is_at_rest:
            self._thread.start(self._move)
        elif self._answers is None:
            assert self._thread.request is not None
            self._answers = server.execute(self._thread.request.calls)
        else:
            answers, self._answers = self._answers, None
            self._thread.resume(redis.ConnectionError("lost") if is_lost else answers)

    def close(self) -> None:
        self._thread.kill()

    def _move(self) -> None:
        try:
            self.recorder.move(0)
        except OVER:
            self.is_over = True


class Blind(InvariantMonitor):
    """Looks away: what is to be seen here is in Postgres."""

    def see(self, call: Call, answer: Any) -> None:
        pass


class Bureau:
    """The recorders of one queue, one after the other, and what they know in Postgres."""

    def __init__(self, client: redis.Redis, engine: Engine, rng: random.Random) -> None:
        self._client, self._engine, self._rng = client, engine, rng
        self._server = Server(client, Blind(Clock(0)))
        self._recorders: list[PlayedRecorder] = []
        self._known = (0, 0, 0)

    def run(self) -> None:
        """Recorders come, hang and go on, until the last one has moved everything."""
        while len(self._recorders) < 4 or self._client.xlen(KEYS.outbox):
            if not self._recorders or (len(self._recorders) < 4 and self._rng.random() < 0.08):
                self.employ()
            at_work = [recorder for recorder in self._recorders if not recorder.is_over]
            self.step(self._rng.choice(at_work), self._rng.random() < 0.15)

    def step(self, recorder: PlayedRecorder, is_lost: bool = False) -> None:
        """One of them goes on."""
        recorder.step(self._server, is_lost)
        self._look()

    def close(self) -> None:
        for recorder in self._recorders:
            recorder.close()
        self._server.close()

    def employ(self) -> PlayedRecorder:
        """A new one takes the office."""
        supervisor: Any = self._client.hget(KEYS.epochs, "supervisor")
        epoch = self._server.one(
            "FCALL", function_name("issue_epoch"), 1, KEYS.commands, supervisor, "recorder"
        )
        self._recorders.append(PlayedRecorder(self._engine, epoch.decode()))
        return self._recorders[-1]

    def _look(self) -> None:
        """The office goes to later ones, and what is known to be there only grows."""
        with self._engine.connect() as connection:
            row = connection.execute(select(recorder_states)).one()
        known = (row.epoch, row.outbox_ms, int(row.outbox_seq))
        assert known[0] >= self._known[0], "a superseded recorder wrote"
        assert known[1:] >= self._known[1:], "what was known is forgotten"
        self._known = known


@pytest.fixture(scope="module")
def client() -> Iterator[redis.Redis]:
    with redis_server() as url, connect(url) as client, without_pauses():
        yield client


@contextlib.contextmanager
def bureau(client: redis.Redis, engine: Engine, seed: int) -> Iterator[Bureau]:
    """What is in the outbox is in Postgres afterwards, once."""
    print(f"seed {seed}")
    rng = random.Random(seed)
    facts = _fill(client, rng)
    with engine.begin() as connection:
        claim_recorder(connection, KEYS.partition, MEMORY)
    found = Bureau(client, engine, rng)
    try:
        yield found
        found.run()
    finally:
        found.close()
    assert _counts(engine) == {
        "command_journal": sum(len(each.journal) for each in facts),
        "ledger_entries": sum(len(each.ledger) for each in facts),
        "chat_time_records": len({row.chat_id for each in facts for row in each.records}),
    }


def _fill(client: redis.Redis, rng: random.Random) -> list[OutboxPayload]:
    client.flushall()
    load_functions(client)
    work(Watched(client, lambda: None), lead(client, "t"), send(client, rng, 30), rng)
    entries: Any = client.xrange(KEYS.outbox)
    return [unpack_payload(fields[b"facts"]) for _, fields in entries]


def _counts(engine: Engine) -> dict[str, int]:
    with engine.connect() as connection:
        return {
            table: connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
            for table in TABLES
        }


@pytest.mark.parametrize("seed", SEEDS)
def test_whoever_hangs_where_everything_is_recorded_once(
    client: redis.Redis, engine: Engine, seed: int
) -> None:
    """Four recorders, each hanging anywhere; answers get lost, too."""
    with bureau(client, engine, seed):
        pass


def _overtaken(it: Bureau, steps: int) -> PlayedRecorder:
    """One that took so many steps, goes on after another has recorded, and comes to its end."""
    old, new = it.employ(), it.employ()
    for recorder, count in ((old, steps), (new, 5), (old, 5 - steps)):
        for _ in range(count):
            it.step(recorder)
    return old


@pytest.mark.parametrize("steps", [2, 3], ids=["before its transaction", "after its commit"])
def test_one_that_was_overtaken_leaves(client: redis.Redis, engine: Engine, steps: int) -> None:
    """It has read outbox entries, or committed them; then another one moved them."""
    with bureau(client, engine, SEEDS[0]) as it:
        assert _overtaken(it, steps).is_over


def test_without_the_office_a_superseded_one_would_write(
    client: redis.Redis, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its epoch being compared in the same transaction is what keeps it from that."""
    unguarded = recorder_state._ADVANCE.replace("AND epoch <= %s", "AND %s > 0")
    monkeypatch.setattr(recorder_state, "_ADVANCE", unguarded)
    with (
        pytest.raises(AssertionError, match="a superseded recorder wrote"),
        bureau(client, engine, SEEDS[0]) as it,
    ):
        _overtaken(it, 2)
