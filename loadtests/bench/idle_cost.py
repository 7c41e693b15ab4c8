"""Chats that run and nobody talks to: what they cost, and what they do to the pace."""

from typing import Final, NamedTuple

from loadtests.bench.backlog import work_off
from loadtests.bench.daemon import BenchDaemon, running
from loadtests.bench.empty_actors import empty_actors
from loadtests.bench.figures import BenchFigures
from loadtests.bench.plan import BenchPlan
from loadtests.bench.throughput import ACTORS, PER_S
from loadtests.bench.usage import (
    CHAT_ACTORS,
    EMPTY,
    own_keys_bytes,
    pid_of,
    redis_bytes,
    watch,
)
from loadtests.bench.workload_model import EncodedWorkload
from loadtests.common.processes import MIB
from loadtests.common.servers import folder

DESIGN_CHATS: Final = 100_000
"""The size that the design speaks of; a run that has fewer shows its largest."""
RAY_ACTORS: Final = ACTORS + 2
"""The daemon's: chat actors, supervisor, recorder."""
SETTLE_S: Final = 3.0
ENV: Final = {"METERD_ACTORS__CHATS_PER_ACTOR": "200000"}
"""Room for all of them: by default 100 000 is the most."""


class Growth(NamedTuple):
    """What opening chats has added to memory."""

    chats: int
    opened: int
    actors_bytes: int
    redis_bytes: int


def measure(plan: BenchPlan, figures: BenchFigures) -> None:
    """Empty actors, the daemon with more and more chats, and empty actors again."""
    _empty(plan, figures)
    with running(ENV) as daemon:
        daemon.wait_for_actors(ACTORS)
        grown = _sizes(plan, daemon, figures)
        plan.say("the audit")
        daemon.check()
    _empty(plan, figures)
    _conclude(grown, figures)


def _empty(plan: BenchPlan, figures: BenchFigures) -> None:
    plan.say(f"{RAY_ACTORS} empty actors")
    with folder() as place, empty_actors(RAY_ACTORS, place) as pid:
        watch(None, SETTLE_S, {EMPTY: pid})
        for _ in range(plan.rounds):
            window = watch(None, plan.sizes.idle_s / plan.rounds, {EMPTY: pid})
            figures.add("empty_cpu_percent", window.cpu_percent, "%")
            for size in plan.sizes.idle_chats:
                figures.add(f"empty_cpu_percent@{size}", window.cpu_percent, "%")


def _sizes(plan: BenchPlan, daemon: BenchDaemon, figures: BenchFigures) -> list[Growth]:
    workload = EncodedWorkload("q")
    grown = []
    for size in plan.sizes.idle_chats:
        plan.say(f"opening {size:,} chats")
        grown.append(_open(daemon, workload, size, figures))
        plan.say(f"{size:,} quiet chats")
        _idle_cost(plan, daemon, size, figures)
        for _ in range(plan.rounds):
            pace = work_off(daemon, workload.toggles(plan.sizes.idle_commands, reply_to="bench"))
            figures.add(f"commands_per_s@{size}", pace.handled_per_s, PER_S)
        daemon.resume_all(workload)
    return grown


def _open(
    daemon: BenchDaemon, workload: EncodedWorkload, size: int, figures: BenchFigures
) -> Growth:
    """Open as many as there are to be more; what was done between does not count."""
    before, opened = _held_bytes(daemon), size - len(workload)
    daemon.open(workload, opened)
    after = _held_bytes(daemon)
    figures.add(f"actors_mib@{size}", after[0] / MIB, "MiB")
    figures.add(f"redis_mib@{size}", after[1] / MIB, "MiB")
    figures.add(f"own_keys_bytes@{size}", own_keys_bytes(daemon, *workload.names(0)), "B")
    return Growth(size, opened, after[0] - before[0], after[1] - before[1])


def _held_bytes(daemon: BenchDaemon) -> tuple[int, int]:
    """Memory of the chat actors, and of Redis' data, once both have come to rest."""
    window = watch(pid_of(daemon), SETTLE_S)
    assert window.actors == RAY_ACTORS, f"the daemon has {window.actors} actors"
    return window.roles[CHAT_ACTORS].memory_bytes, redis_bytes(daemon)


def _idle_cost(plan: BenchPlan, daemon: BenchDaemon, size: int, figures: BenchFigures) -> None:
    for _ in range(plan.rounds):
        window = watch(pid_of(daemon), plan.sizes.idle_s / plan.rounds)
        figures.add(f"cpu_percent@{size}", window.cpu_percent, "%")
        for role, used in window.roles.items():
            figures.add(f"cpu_percent {role}@{size}", used.cpu_percent, "%")


def _conclude(grown: list[Growth], figures: BenchFigures) -> None:
    """The figures that the design speaks of, at its size or the largest below."""
    few = grown[0]
    many = max((g for g in grown if g.chats <= DESIGN_CHATS), key=lambda g: g.chats)
    figures.add("chats", many.chats, "")
    figures.add("own_keys_bytes", figures.last(f"own_keys_bytes@{many.chats}"), "B")
    # The first ones fill what is allocated anyway.
    counted = [g for g in grown[1:] if g.chats <= DESIGN_CHATS]
    if opened := sum(g.opened for g in counted):
        figures.add("actors_bytes_a_chat", sum(g.actors_bytes for g in counted) / opened, "B")
        figures.add("redis_bytes_a_chat", sum(g.redis_bytes for g in counted) / opened, "B")
    cpu = figures.by_name[f"cpu_percent@{many.chats}"]
    empty = figures.by_name["empty_cpu_percent"].median
    for value in cpu.values:
        figures.add("cpu_percent", value, "%")
        figures.add("cpu_over_empty_percent", value - empty, "%")
    slow = figures.by_name[f"commands_per_s@{few.chats}"].median
    for value in figures.by_name[f"commands_per_s@{many.chats}"].values:
        figures.add("throughput_ratio", value / slow, "x")
