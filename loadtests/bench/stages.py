"""Where a command's time goes, from sending to the reply, at several rates."""

import contextlib
import time
from collections.abc import Mapping
from typing import Any, Final

from actors.supervisor.stats import STAGES
from loadtests.bench.daemon import STATUS_S_MAX, BenchDaemon, running
from loadtests.bench.figures import BenchFigures
from loadtests.bench.latency import RESULT_S_MAX, PaceError, latencies_ms, send_steadily
from loadtests.bench.plan import BenchPlan
from loadtests.bench.replies import ReplyReader
from loadtests.bench.throughput import ACTORS
from loadtests.bench.usage import pid_of
from loadtests.bench.workload_model import EncodedWorkload
from loadtests.common.live import KEYS
from loadtests.common.processes import Sampler
from loadtests.common.statistics import percentile

RATES: Final = (1_000, 4_000, 8_000)
"""Commands a second."""

SHOWN: Final = (*STAGES[:-1], "replied")
"""What a sender waits for: the reply is there with the commit, before the supervisor knows."""


def measure(plan: BenchPlan, figures: BenchFigures) -> None:
    """Each rate in turn; the mean of a command in each stage, and what its sender saw."""
    with running() as daemon:
        daemon.wait_for_actors(ACTORS)
        workload = EncodedWorkload("s")
        daemon.open(workload, plan.sizes.chats)
        for number in range(1, plan.rounds + 1):
            for per_s in RATES:
                plan.say(f"round {number}: {per_s:,} commands a second")
                try:
                    _round(daemon, workload, (per_s, plan.sizes.latency_s), figures)
                except PaceError as error:
                    figures.notes.append(f"left out: {error}")
                    daemon.until_handled()
        plan.say("the audit")
        daemon.check()


def _round(
    daemon: BenchDaemon, workload: EncodedWorkload, load: tuple[int, float], figures: BenchFigures
) -> None:
    per_s, seconds = load
    count = int(per_s * seconds)
    stream = f"stages-{time.monotonic_ns()}"
    commands = workload.toggles(count, reply_to=stream)
    ids = workload.last_ids(count)
    before = _settled(daemon, daemon.handled())
    with contextlib.closing(ReplyReader(daemon.redis_url, KEYS.reply(stream), count)) as reader:
        sampler = Sampler(pid_of(daemon))
        began = sampler.take()
        sent = send_steadily(daemon.redis_url, commands, per_s)
        ended = sampler.take()
        replies = reader.result(RESULT_S_MAX)
    used = sampler.between(began.at_s, ended.at_s).values()
    figures.add(f"cpu_percent@{per_s}", sum(one.cpu_percent for one in used), "%")
    seen_ms = latencies_ms(ids, sent.at_ns, replies)
    after = _settled(daemon, daemon.handled())
    for stage, value in by_stage(before, after, sum(seen_ms) / count).items():
        figures.add(f"{stage}_ms@{per_s}", value, "ms")
    for percent in (50, 99):
        figures.add(f"seen_p{percent}_ms@{per_s}", percentile(seen_ms, percent), "ms")


def _settled(daemon: BenchDaemon, handled: int) -> Mapping[str, Any]:
    """The status once it has all that was handled: it is published now and then only."""
    daemon.until_handled()
    daemon.until(lambda: _timed(daemon.published()) >= handled, STATUS_S_MAX)
    return daemon.published()


def _timed(status: Mapping[str, Any]) -> int:
    return int(status.get("latency_ms", {}).get("count", 0))


def by_stage(
    before: Mapping[str, Any], after: Mapping[str, Any], seen_ms: float
) -> dict[str, float]:
    """The mean time of a command in each stage that its sender waits for.

    Args:
        before: the daemon's status at first.
        after: the same at the end.
        seen_ms: what a sender waited on average, from sending to the reply.
    """
    commands = _timed(after) - _timed(before)
    spent = {
        stage: (after["stages_ms"][stage] - before["stages_ms"][stage]) / commands
        for stage in STAGES[:-1]
    }
    return {**spent, "replied": max(0.0, seen_ms - sum(spent.values()))}
