"""From one chat actor to many: memory, CPU without work, pace, and how long a start takes."""

import contextlib
from collections.abc import Iterator
from typing import Any, Final

import psutil

from loadtests.bench.backlog import work_off
from loadtests.bench.daemon import ACTORS_S_MAX, BenchDaemon, running
from loadtests.bench.figures import BenchFigures
from loadtests.bench.plan import BenchPlan
from loadtests.bench.sequential_sender import SequentialSender
from loadtests.bench.throughput import PER_S
from loadtests.bench.usage import pid_of, watch
from loadtests.bench.workload_model import AMPLE, EncodedWorkload
from loadtests.common.processes import MIB
from loadtests.common.statistics import parts, percentile

MIB_AN_ACTOR: Final = 90
MIB_OTHERS: Final = 1_500
GROWING_MAX: Final = 4
USER: Final = "a-user"
SETTLE_S: Final = 1.0
COLD_NOTE: Final = (
    "cold: with actors.chats_per_actor = 1 and no spare, so that a start has to wait for its"
    " process; by default it shares an actor instead, and waits for nothing"
)


def measure(plan: BenchPlan, figures: BenchFigures) -> None:
    """One daemon after the other, each with another limit on its actors; then cold starts."""
    warm: list[float] = []
    for count in plan.sizes.actors:
        if (lacking := _lacking_mib(count)) > 0:
            figures.notes.append(f"{count} actors: {lacking:.0f} MiB of memory more are needed")
            continue
        plan.say(f"{count} actors")
        warm += _with(plan, count, figures)
    _start_figures("warm", "", warm, plan.rounds, figures)
    plan.say("cold starts")
    _cold(plan, figures)


def _lacking_mib(count: int) -> float:
    needed = count * MIB_AN_ACTOR + MIB_OTHERS
    return needed - float(psutil.virtual_memory().available) / MIB


def _with(plan: BenchPlan, count: int, figures: BenchFigures) -> list[float]:
    """One daemon; returns how long its warm starts took."""
    with running({"METERD_ACTORS__MAX": str(count)}) as daemon:
        with ActorStarts(daemon) as starts:
            growing = starts.while_growing(min(count - 1, GROWING_MAX))
            daemon.wait_for_actors(count)
            _idle(plan, daemon, count, figures)
            end_warm(daemon, 2 * count)
            warm = starts.on_one_spare(count, plan.sizes.actors_starts)
        workload = EncodedWorkload("b")
        daemon.open(workload, plan.sizes.chats)
        for _ in range(plan.rounds):
            pace = work_off(daemon, workload.toggles(plan.sizes.actors_commands, reply_to="bench"))
            figures.add(f"commands_per_s@{count}", pace.handled_per_s, PER_S)
        daemon.check()
    _start_figures("warm", f"@{count}", growing + warm, plan.rounds, figures)
    return growing + warm


def _idle(plan: BenchPlan, daemon: BenchDaemon, count: int, figures: BenchFigures) -> None:
    watch(pid_of(daemon), SETTLE_S)
    for _ in range(plan.rounds):
        window = watch(pid_of(daemon), plan.sizes.actors_s)
        figures.add(f"cpu_percent@{count}", window.cpu_percent, "%")
        figures.add(f"memory_mib@{count}", window.memory_bytes / MIB, "MiB")


def _start_figures(
    name: str, at: str, took_ms: list[float], rounds: int, figures: BenchFigures
) -> None:
    for part in parts(took_ms, rounds):
        for point, percent in (("p50", 50), ("p99", 99)):
            figures.add(f"{name}_{point}_ms{at}", percentile(part, percent), "ms")


def end_warm(daemon: BenchDaemon, count: int) -> None:
    """End the chats that ``wait_for_actors`` has opened."""
    with SequentialSender(daemon.redis_url, "ends") as caller:
        for chat in range(count):
            caller.call("end", chat_id=f"warmc{chat}")


class ActorStarts:
    """Starts chats and measures how long each start takes; ends what it has started."""

    def __init__(self, daemon: BenchDaemon) -> None:
        """With ample credits."""
        self._daemon = daemon
        self._caller = SequentialSender(daemon.redis_url, "starts")
        self._caller.call("top_up", user_id=USER, amount=AMPLE)
        self._open: list[str] = []
        self._count = 0

    def __enter__(self) -> "ActorStarts":
        return self

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(Exception) if error[0] else contextlib.nullcontext():
            self.end_all()
        self._caller.__exit__()

    def while_growing(self, count: int) -> list[float]:
        """Starts that each take the spare, so that the next one is being started meanwhile."""
        took_ms = []
        for _ in range(count):
            self._daemon.until(self._has_spare, ACTORS_S_MAX)
            took_ms.append(self.start())
        self.end_all()
        return took_ms

    def on_one_spare(self, actors: int, count: int) -> list[float]:
        """Starts on the only actor that has no chat, which is empty again before the next."""
        for _ in range(actors - 1):
            self.start()
        return [took_ms for _ in range(count) for took_ms in self._start_and_end()]

    def start(self) -> float:
        """One start."""
        self._count += 1
        chat = f"start{self._count}"
        took_ms = self._caller.call("start", chat_id=chat, user_id=USER, advisor_id="a", rate="1")
        self._open.append(chat)
        return took_ms

    def end_all(self) -> None:
        """End what is open."""
        while self._open:
            self._caller.call("end", chat_id=self._open.pop())

    def _start_and_end(self) -> Iterator[float]:
        yield self.start()
        self._caller.call("end", chat_id=self._open.pop())

    def _has_spare(self) -> bool:
        actors: list[dict[str, Any]] = self._daemon.published().get("actors", [])
        shown = sum(actor["chats"] for actor in actors)
        is_current = shown == len(self._open)
        return is_current and any(a["up"] and not a["chats"] for a in actors)


def _cold(plan: BenchPlan, figures: BenchFigures) -> None:
    """Starts that have to wait for a process."""
    count = plan.sizes.cold_starts
    env = {
        "METERD_ACTORS__MAX": str(count + 1),
        "METERD_ACTORS__CHATS_PER_ACTOR": "1",
        "METERD_ACTORS__WARM_POOL_SIZE": "0",
    }
    with running(env) as daemon, ActorStarts(daemon) as starts:
        starts.start()  # takes the one actor that is always there
        for took_ms in [starts.start() for _ in range(count)]:
            figures.add("cold_ms", took_ms, "ms")
    figures.notes.append(COLD_NOTE)
