"""Postgres: dead in the middle of a batch, away, read-only, full, its answers lost."""

import contextlib
import random
import time
from typing import Any, Final

from loadtests.common.live import KEYS
from loadtests.common.timeouts import scaled
from persistence.postgres import reader
from persistence.postgres.engine import make_engine
from tests.chaos.environment import ChaosEnvironment
from tests.chaos.evidence import stream_entries
from tests.chaos.faults.fault import Blow, Fault, nothing
from tests.chaos.faults.redis import between

LOST_MAX = 3
FORGOTTEN_S: Final = (0.0, 2.0)
"""How long PostgreSQL goes on writing what the standby does not get."""
WRITTEN_S_MAX: Final = scaled(30)
OUTBOX_MS_MAX: Final = 60_000
"""What is older than this had its effect, and PostgreSQL had that, when the copy was made."""
LOST_S_MAX: Final = scaled(30)
RECOVER_S_MAX: Final = 600
"""All of the journal is folded."""


def _stopped(environment: ChaosEnvironment, _draw: random.Random) -> Blow:
    environment.postgres.stop_at_once()
    return Blow(environment.postgres.start, kills=1)


def _cut(environment: ChaosEnvironment, _draw: random.Random) -> Blow:
    environment.to_postgres.cut_all()
    return Blow(nothing)


def _stall(environment: ChaosEnvironment, _draw: random.Random) -> Blow:
    environment.to_postgres.stall()
    return Blow(environment.to_postgres.flow)


def _lose(environment: ChaosEnvironment, draw: random.Random) -> Blow:
    """Postgres has it, and the recorder does not know."""
    environment.to_postgres.lose(draw.randint(1, LOST_MAX), b"COMMIT")
    return Blow(lambda: environment.to_postgres.lose(0, b""))


def _read_only_sessions(environment: ChaosEnvironment, _draw: random.Random) -> Blow:
    """As by a proxy's or a failover's doing: what connects meanwhile may never write."""
    environment.postgres.begin_read_only_sessions()
    return Blow(environment.postgres.end_read_only_sessions)


def _forgot(environment: ChaosEnvironment, draw: random.Random) -> Blow:
    """A standby takes over that did not get the last rows; an operator recovers."""
    began_ms = int(time.time() * 1_000) - OUTBOX_MS_MAX
    copied = environment.postgres.copy()
    had = _delivered(environment)
    deadline = time.monotonic() + WRITTEN_S_MAX
    while _delivered(environment) == had:
        assert time.monotonic() < deadline, "nothing reaches PostgreSQL, so it can forget nothing"
        time.sleep(0.05)
    time.sleep(draw.uniform(*FORGOTTEN_S))
    environment.postgres.take_over(copied)
    return Blow(lambda: _recover(environment, began_ms), kills=2)


def _delivered(environment: ChaosEnvironment) -> bytes | None:
    with contextlib.closing(environment.client()) as client:
        delivered: Any = client.get(KEYS.outbox_delivered)
    return bytes(delivered) if delivered else None


def _recover(environment: ChaosEnvironment, began_ms: int) -> None:
    deadline = time.monotonic() + LOST_S_MAX
    while environment.status()["state"] != "lost":
        assert time.monotonic() < deadline, "nobody notices that PostgreSQL has forgotten rows"
        time.sleep(0.05)
    known = _journal_since(environment, began_ms)
    with contextlib.closing(environment.client()) as client:
        group: Any = client.xinfo_groups(KEYS.commands)
        read: Any = client.xrange(KEYS.commands, began_ms, group[0]["last-delivered-id"])
    handled = {entry.decode() for entry, _ in read}
    environment.queue_log.handled_again.update(handled - known)
    with contextlib.closing(environment.client()) as client:
        # The recovery takes out what the journal has.
        environment.queue_log.archive.update(stream_entries(client, KEYS.commands))
    done = environment.daemon.run("recover", "--by", "chaos", timeout_s=RECOVER_S_MAX)
    assert done.returncode == 0, done.stdout + done.stderr


def _journal_since(environment: ChaosEnvironment, ms: int) -> set[str]:
    engine = make_engine(environment.postgres.url)
    with engine.connect() as connection:
        known = {row.stream_id for row in reader.journal_since(connection, ms)}
    engine.dispose()
    return known


POSTGRES = (
    Fault("Postgres forgot its last rows", _forgot, (0.0, 3.0), weight=1, alone=True),
    Fault("Postgres stopped at once", _stopped, weight=4),
    Fault("Postgres away", _stopped, (2.5, 12.0), weight=2),
    Fault("Postgres connections cut", _cut, weight=2),
    Fault("Postgres stalls", _stall, (1.5, 8.0), weight=2),
    Fault("answers to COMMIT lost", _lose, (0.7, 2.0), weight=4),
    Fault(
        "Postgres refuses writes",
        between(
            lambda b: b.postgres.refuse_writes(yes=True),
            lambda b: b.postgres.refuse_writes(yes=False),
        ),
        (1.5, 6.0),
    ),
    Fault("Postgres's sessions read-only", _read_only_sessions, (1.5, 6.0), weight=2),
    Fault(
        "Postgres's disk full",
        between(lambda b: b.postgres.fill_disk(), lambda b: b.postgres.free_disk()),
        (1.5, 6.0),
    ),
)
