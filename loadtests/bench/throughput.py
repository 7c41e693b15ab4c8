"""Commands a second: the daemon, one client on the commit function, and the peers, in turn."""

from typing import Final

from loadtests.bench.backlog import Throughput, work_off
from loadtests.bench.daemon import running
from loadtests.bench.figures import BenchFigures
from loadtests.bench.max_throughput import measure_max_throughput
from loadtests.bench.plan import BenchPlan
from loadtests.bench.workload_model import EncodedWorkload

ACTORS: Final = 4
"""As many as by default."""
CHATS_PER_ACCOUNT: Final = 10
PER_S: Final = "1/s"
RAY_CALLS: Final = "ray_calls"


def measure(plan: BenchPlan, figures: BenchFigures) -> None:
    """Round by round: the daemon, the maximum, each peer."""
    for number in range(1, plan.rounds + 1):
        _daemon(plan, number, figures)
        _ceiling(plan, number, figures)
        _peers(plan, number, figures)


def _daemon(plan: BenchPlan, number: int, figures: BenchFigures) -> None:
    plan.say(f"round {number}: the daemon")
    with running() as daemon:
        daemon.wait_for_actors(ACTORS)
        single, several = EncodedWorkload("s"), EncodedWorkload("m", CHATS_PER_ACCOUNT)
        daemon.open(single, plan.sizes.chats)
        pace = work_off(daemon, single.toggles(plan.sizes.commands, reply_to="bench"))
        apart = EncodedWorkload("a")
        daemon.open(apart, plan.sizes.accounts)
        unmerged = work_off(daemon, apart.toggles(plan.sizes.accounts, reply_to="bench"))
        daemon.open(several, plan.sizes.chats)
        mixed = work_off(daemon, several.mixed(plan.sizes.mixed, reply_to="bench"))
        plan.say(f"round {number}: the audit")
        daemon.check()
    _add(figures, pace, mixed, unmerged)


def _add(figures: BenchFigures, pace: Throughput, mixed: Throughput, unmerged: Throughput) -> None:
    figures.add("commands_per_s", pace.handled_per_s, PER_S)
    figures.add("commands_recorded_per_s", pace.recorded_per_s, PER_S)
    figures.add("unmerged_per_s", unmerged.handled_per_s, PER_S)
    figures.add("mixed_per_s", mixed.handled_per_s, PER_S)
    figures.add("mixed_recorded_per_s", mixed.recorded_per_s, PER_S)


def _ceiling(plan: BenchPlan, number: int, figures: BenchFigures) -> None:
    plan.say(f"round {number}: one client on the commit function")
    pace = measure_max_throughput(plan.sizes.chats, plan.sizes.max_throughput)
    figures.add("max_throughput_per_s", pace, PER_S)
    figures.add("ratio_to_max_throughput", figures.last("commands_per_s") / pace, "x")
    figures.add("unmerged_ratio", figures.last("unmerged_per_s") / pace, "x")


def _peers(plan: BenchPlan, number: int, figures: BenchFigures) -> None:
    reached: dict[str, float] = {}
    for name, jobs in plan.sizes.peer_jobs if plan.with_peers else ():
        plan.say(f"round {number}: {name}")
        pace = _peer(name, jobs, figures)
        if pace:
            reached[name] = pace
            figures.add(f"peer_{name}_per_s", pace, PER_S)
    best = max((pace for name, pace in reached.items() if name != RAY_CALLS), default=0.0)
    if best:
        figures.add("ratio_to_best_peer", figures.last("commands_per_s") / best, "x")


def _peer(name: str, jobs: int, figures: BenchFigures) -> float:
    """Jobs a second; 0, with a note, if the peer can't be measured."""
    try:
        from loadtests.peers.run import measure as measure_peer  # noqa: PLC0415 - only if wanted

        reached = measure_peer(name, jobs)
    except Exception as error:
        why = f"{type(error).__name__}: {str(error)[-300:]}"
        _note(figures, f"{name} could not be measured: {why}")
        return 0.0
    _note(figures, f"{name} {reached.version}: {reached.settings}")
    return reached.jobs_per_s


def _note(figures: BenchFigures, note: str) -> None:
    if note not in figures.notes:
        figures.notes.append(note)
