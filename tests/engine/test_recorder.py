"""Recorders: one in office, and what Postgres says to a batch."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from actors.recorder import Recorder, RecorderConfig
from persistence.errors import RecorderFencedError, SupersededError
from persistence.postgres.recorder_state import RecorderClaim, claim_recorder, fetch_position
from persistence.postgres.rows import JournalRow, LedgerRow
from persistence.redis.client import connect
from persistence.redis.commit import OutboxPayload, pack_payload
from persistence.redis.functions import function_name, load_functions
from persistence.redis.outbox import Outbox
from tests.engine.harness import KEYS
from tests.servers import redis_server

MEMORY = "m"


@pytest.fixture
def client() -> Iterator[redis.Redis]:
    with redis_server() as url, contextlib.closing(connect(url)) as client:
        load_functions(client)
        client.xgroup_create(KEYS.commands, "meterd", id="0", mkstream=True)
        yield client


def _recorder(client: redis.Redis, engine: Engine) -> Recorder:
    """A new recorder, under a new epoch: the one before it is over in Redis."""
    answer: Any = client.fcall(function_name("acquire_lease"), 1, KEYS.commands, "t", 60_000)
    client.fcall(function_name("confirm_integrity"), 1, KEYS.commands, "t", answer[1], MEMORY)
    granted: Any = client.fcall(
        function_name("issue_epoch"), 1, KEYS.commands, answer[1], "recorder"
    )
    epoch = granted.decode()
    outbox = Outbox(client, KEYS, 1_000, "recorder", epoch)
    claim = RecorderClaim(KEYS.partition, MEMORY, int(epoch))
    with engine.begin() as connection:
        claim_recorder(connection, KEYS.partition, MEMORY)
    return Recorder(outbox, engine, claim, ("p", {}), RecorderConfig())


def _fact(client: redis.Redis, number: int, amount: int = 1) -> str:
    entry = f"{number}-0"
    facts = OutboxPayload(
        [],
        [LedgerRow(f"top_up:{entry}", "u", None, "top_up", amount, number, "k")],
        [JournalRow(entry, "u", None, {"type": "top_up"}, "ok", False, "p")],
    )
    added: Any = client.xadd(KEYS.outbox, {"facts": pack_payload(facts)})
    return str(added.decode())


def _count(engine: Engine, table: str) -> int:
    with engine.connect() as connection:
        return int(connection.scalar(text(f"SELECT count(*) FROM {table}")) or 0)


def test_one_that_was_replaced_writes_nothing_anywhere(client: redis.Redis, engine: Engine) -> None:
    """Neither into Postgres, once its successor has written, nor out of the outbox."""
    old, new = _recorder(client, engine), _recorder(client, engine)
    _fact(client, 1)
    assert new.move(0) == 1
    _fact(client, 2)
    with pytest.raises(SupersededError):
        old.move(0)
    assert client.xlen(KEYS.outbox) == 1
    assert _count(engine, "command_journal") == 1
    assert old.run() == "superseded", "and it leaves"


def test_one_that_was_stopped_between_its_commit_and_the_outbox_loses_nothing(
    client: redis.Redis, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It wakes up after its successor began: it may not remove; the successor writes it again."""
    old = _recorder(client, engine)
    _fact(client, 1)
    successor: list[Recorder] = []
    remove = old._outbox.remove

    def late(entries: Any) -> None:
        successor.append(_recorder(client, engine))
        _fact(client, 2)
        remove(entries)

    monkeypatch.setattr(old._outbox, "remove", late)
    with pytest.raises(RecorderFencedError):
        old.move(0)
    assert client.xlen(KEYS.outbox) == 2
    assert successor[0].move(0) == 2
    assert (client.xlen(KEYS.outbox), _count(engine, "ledger_entries")) == (0, 2)


def test_an_answer_to_a_commit_that_was_lost_is_made_up_for(
    client: redis.Redis, engine: Engine
) -> None:
    """Postgres has the batch, the recorder does not know: it writes it again, once in effect."""
    recorder = _recorder(client, engine)
    assert recorder.move(0) == 0, "the policy goes first"
    _fact(client, 1)
    _fact(client, 2)
    recorder._engine = _LosesOneAnswer(engine)  # type: ignore[assignment]
    assert recorder.move(0) is None
    assert (client.xlen(KEYS.outbox), _count(engine, "ledger_entries")) == (2, 2)
    assert recorder.move(0) == 2
    assert (client.xlen(KEYS.outbox), _count(engine, "ledger_entries")) == (0, 2)


class _LosesOneAnswer:
    """A database that commits its first transaction and does not say so."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._is_lost = False

    @contextlib.contextmanager
    def begin(self) -> Iterator[Any]:
        with self._engine.begin() as connection:
            yield connection
        if not self._is_lost:
            self._is_lost = True
            raise OperationalError("COMMIT", {}, ConnectionError("the answer was lost"))


def test_what_postgres_refuses_stands_alone_and_the_rest_goes_on(
    client: redis.Redis, engine: Engine
) -> None:
    """A broken constraint, in the middle of a batch, is found by halving and kept apart."""
    recorder = _recorder(client, engine)
    for number in range(1, 10):
        _fact(client, number, amount=0 if number == 4 else 1)
    client.xadd(KEYS.outbox, {"facts": "{no facts"})
    assert recorder.move(0) == 9
    assert (client.xlen(KEYS.outbox), client.xlen(KEYS.rejected)) == (0, 2)
    assert _count(engine, "ledger_entries") == 8
    assert recorder.refused == 1


def test_postgres_knows_how_far_the_outbox_was(client: redis.Redis, engine: Engine) -> None:
    """That is what tells a Redis which has forgotten."""
    recorder = _recorder(client, engine)
    last = [_fact(client, number) for number in (1, 2, 3)][-1]
    recorder.move(0)
    with engine.connect() as connection:
        known = fetch_position(connection, KEYS.partition)
    assert (known.memory_id, known.outbox, known.journal) == (MEMORY, last, "3-0")
