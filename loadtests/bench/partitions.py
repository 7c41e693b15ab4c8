"""``python -m loadtests.bench.partitions``: what several partitions cost on one machine.

Each round runs one daemon after the other with 1, 2 and 4 partitions, with the same number of chat
actors in all: first idle, then with a backlog of pauses and resumes of 1 000 accounts. CPU is that
of all processes of the daemon, servers included. Figures are ratios to one partition of the same
round.
"""

import argparse
import time
from collections.abc import Iterator
from statistics import median
from typing import Final, NamedTuple

from loadtests.bench.daemon import HANDLED_S_MAX, BenchDaemon, running
from loadtests.bench.usage import pid_of, watch
from loadtests.bench.wire import blast, encode_command
from loadtests.common.processes import Sampler
from meterd.rules.partitions import partition_of
from meterd.rules.redis_keys import Keys

PARTITIONS: Final = (1, 2, 4)
CHATS: Final = 1_000
ACTORS: Final = 4
SETTLE_S: Final = 5.0
IDLE_S: Final = 20.0


class Cost(NamedTuple):
    """What one daemon took."""

    idle_percent: float
    """Of one core, with nothing to do."""
    memory_mib: float
    """Of all processes, with nothing to do."""
    command_us: float
    """CPU time for each command."""
    commands_per_s: float
    """From the first one sent until PostgreSQL had the last one."""


def measure(partitions: int, commands: int) -> Cost:
    """Run a daemon with so many partitions, and audit it."""
    env = {
        "METERD_PARTITIONS": str(partitions),
        "METERD_ACTORS__MAX": str(ACTORS),
        "METERD_HTTP__ENABLED": "false",
    }
    with running(env) as daemon:
        blast(daemon.redis_url, list(_opened(partitions)))
        daemon.until_handled(HANDLED_S_MAX)
        watch(pid_of(daemon), SETTLE_S)
        idle = watch(pid_of(daemon), IDLE_S)
        cpu_s, took_s = _work_off(daemon, list(_toggles(partitions, commands)))
        daemon.audit()
    mib = idle.memory_bytes / 1_048_576
    return Cost(idle.cpu_percent, mib, cpu_s / commands * 1e6, commands / took_s)


def _work_off(daemon: BenchDaemon, commands: list[bytes]) -> tuple[float, float]:
    """CPU seconds and seconds until PostgreSQL has all of it."""
    sampler = Sampler(pid_of(daemon), None)
    first = sampler.take()
    began_s = time.perf_counter()
    blast(daemon.redis_url, commands)
    daemon.until_handled(HANDLED_S_MAX)
    took_s = time.perf_counter() - began_s
    last = sampler.take()
    used = sampler.between(first.at_s, last.at_s)
    percent = sum(one.cpu_percent for one in used.values())
    return percent / 100 * (last.at_s - first.at_s), took_s


def _opened(partitions: int) -> Iterator[bytes]:
    for number in range(CHATS):
        yield _command(partitions, number, "open", type="top_up", amount="100000")
        opening = {"chat_id": f"c{number}", "advisor_id": "a", "rate": "1"}
        yield _command(partitions, number, "start", type="start", **opening)


def _toggles(partitions: int, commands: int) -> Iterator[bytes]:
    for turn in range(commands):
        number, type_ = turn % CHATS, "resume" if turn // CHATS % 2 else "pause"
        yield _command(partitions, number, f"t{turn}", type=type_, chat_id=f"c{number}")


def _command(partitions: int, number: int, id_: str, **fields: str) -> bytes:
    user = f"u{number}"
    stream = Keys(partition_of(user, partitions)).commands
    named = {"id": f"{user}-{id_}", "user_id": user, **fields}
    return encode_command(named.items(), stream)


def main() -> None:
    """Measure, and print a line for each number of partitions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how many (3)")
    parser.add_argument("--commands", type=int, default=40_000, help="a backlog's (40000)")
    wanted = parser.parse_args()
    costs: dict[int, list[Cost]] = {partitions: [] for partitions in PARTITIONS}
    for number in range(wanted.rounds):
        for partitions in PARTITIONS:
            cost = measure(partitions, wanted.commands)
            costs[partitions].append(cost)
            print(f"round {number + 1}, P = {partitions}: {_line(cost)}", flush=True)
    for partitions in PARTITIONS:
        pairs = list(zip(costs[partitions], costs[1], strict=True))
        cpu = median(mine.command_us / one.command_us for mine, one in pairs)
        pace = median(mine.commands_per_s / one.commands_per_s for mine, one in pairs)
        idle = median(mine.idle_percent - one.idle_percent for mine, one in pairs)
        ratios = f"CPU a command {cpu:.2f}, pace {pace:.2f}, idle {idle:+.1f} % of a core"
        print(f"P = {partitions}: {ratios}")


def _line(cost: Cost) -> str:
    return (
        f"idle {cost.idle_percent:.1f} % of a core and {cost.memory_mib:.0f} MiB, "
        f"{cost.command_us:.0f} us of CPU a command, {cost.commands_per_s:.0f} commands/s"
    )


if __name__ == "__main__":
    main()
