"""Postgres: dead in the middle of a batch, away, read-only, full, its answers lost."""

import random

from tests.chaos.environment import ChaosEnvironment
from tests.chaos.faults.fault import Blow, Fault, nothing
from tests.chaos.faults.redis import between

LOST_MAX = 3


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


POSTGRES = (
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
