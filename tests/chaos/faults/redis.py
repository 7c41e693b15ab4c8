"""Redis: dead, hung, full, read-only, cut off, answers lost, functions gone."""

import contextlib
import random
from collections.abc import Callable

from persistence.redis.functions import FunctionName, function_name, source
from persistence.redis.versions import VERSION
from tests.chaos.environment import ChaosEnvironment
from tests.chaos.faults.fault import Blow, Fault, Heal, nothing

Act = Callable[[ChaosEnvironment], None]

LOST_MAX = 5


def between(inject: Act, heal: Act) -> Callable[[ChaosEnvironment, random.Random], Blow]:
    """A fault that ``inject`` brings and ``heal`` ends."""

    def strike(environment: ChaosEnvironment, _draw: random.Random) -> Blow:
        inject(environment)
        return Blow(lambda: heal(environment))

    return strike


def _config(**values: str | int) -> Act:
    def act(environment: ChaosEnvironment) -> None:
        with contextlib.closing(environment.client()) as client:
            for name, value in values.items():
                client.config_set(name.replace("_", "-"), value)

    return act


def _replica_of(host: str, port: str) -> Act:
    """Of a master that is not there: the data stay, and nothing may be written."""

    def act(environment: ChaosEnvironment) -> None:
        with contextlib.closing(environment.client()) as client:
            client.replicaof(host, port)

    return act


def _killed(environment: ChaosEnvironment, _draw: random.Random) -> Blow:
    environment.redis.kill()
    return Blow(environment.redis.start, kills=1)


def _cut(environment: ChaosEnvironment, _draw: random.Random) -> Blow:
    for proxy in (environment.to_redis, environment.to_clients):
        proxy.cut_all()
    return Blow(nothing)


def _lose_of(name: FunctionName) -> Callable[[ChaosEnvironment, random.Random], Blow]:
    """The server does it, and the daemon is not told."""

    def strike(environment: ChaosEnvironment, draw: random.Random) -> Blow:
        number = draw.randint(1, LOST_MAX)
        environment.to_redis.lose(number, function_name(name).encode())
        return Blow(_stop_losing(environment), what=f"{number} answers")

    return strike


def _stop_losing(environment: ChaosEnvironment) -> Heal:
    return lambda: environment.to_redis.lose(0, b"")


def _lose_of_clients(environment: ChaosEnvironment, draw: random.Random) -> Blow:
    environment.to_clients.lose(draw.randint(1, LOST_MAX), b"XADD")
    return Blow(lambda: environment.to_clients.lose(0, b""))


def _stall(environment: ChaosEnvironment, _draw: random.Random) -> Blow:
    environment.to_redis.stall()
    return Blow(environment.to_redis.flow)


def _refuse(environment: ChaosEnvironment, _draw: random.Random) -> Blow:
    environment.to_redis.refuse()
    return Blow(environment.to_redis.admit)


def _flush_functions(environment: ChaosEnvironment, _draw: random.Random) -> Blow:
    with contextlib.closing(environment.client()) as client:
        client.function_flush()
    return Blow(nothing)


def _older_library(environment: ChaosEnvironment, _draw: random.Random) -> Blow:
    """As when a backup of Redis that an older meterd had made is put back."""
    with contextlib.closing(environment.client()) as client:
        client.function_flush()
        client.function_load(source(VERSION - 1))
    return Blow(nothing)


def _demoted(environment: ChaosEnvironment, _draw: random.Random) -> Blow:
    """A virtual IP moves; the old master stays up and refuses writes on what is connected."""
    return Blow(environment.demote_redis().kill)


REDIS = (
    Fault("Redis killed", _killed, (0.5, 3.0), weight=4),
    Fault("Redis hung", between(lambda b: b.redis.hang(), lambda b: b.redis.wake()), (2.5, 9.0)),
    Fault("Redis full", between(_config(maxmemory=1), _config(maxmemory=0)), (1.5, 6.0), weight=3),
    Fault(
        "Redis's disk full",
        between(lambda b: b.redis.fill_disk(), lambda b: b.redis.free_disk()),
        (1.5, 6.0),
    ),
    Fault(
        "Redis read-only",
        between(_replica_of("127.0.0.1", "1"), _replica_of("NO", "ONE")),
        (1.5, 6.0),
    ),
    Fault(
        "Redis without replicas",
        between(_config(min_replicas_to_write=1), _config(min_replicas_to_write=0)),
        (1.5, 6.0),
    ),
    Fault("Redis connections cut", _cut, weight=4),
    Fault("answers to commits lost", _lose_of("commit_all"), (0.7, 2.0), weight=4),
    Fault("answers to reads lost", _lose_of("read"), (0.7, 2.0), weight=2),
    Fault("answers to clients lost", _lose_of_clients, (0.7, 2.0), weight=2),
    Fault("Redis stalls for the daemon", _stall, (2.5, 9.0), weight=2),
    Fault("Redis cut off from the daemon", _refuse, (2.0, 8.0), weight=2),
    Fault("Redis demoted, and stays up", _demoted, (3.0, 8.0), weight=2, alone=True),
    Fault("functions flushed", _flush_functions, weight=1),
    Fault("older functions loaded", _older_library, weight=1),
)
