"""Command to reply at a steady pace: sent whether or not the replies before have come."""

import contextlib
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from loadtests.bench.backlog import work_off
from loadtests.bench.daemon import BenchDaemon, running
from loadtests.bench.figures import BenchFigures
from loadtests.bench.plan import BenchPlan
from loadtests.bench.replies import ReplyReader
from loadtests.bench.throughput import ACTORS, PER_S
from loadtests.bench.wire import Wire
from loadtests.bench.workload_model import EncodedWorkload
from loadtests.common.live import KEYS
from loadtests.common.statistics import PERCENTS, percentile

TICK_S: Final = 0.001
SHARES: Final = {"tenth": 0.1, "half": 0.5}
STEADY_PER_S: Final = 4_000.0
RESULT_S_MAX: Final = 60.0
LATE_SHARE_MAX: Final = 0.05


class LostRepliesError(Exception):
    """Replies are missing or say that something was refused."""


class PaceError(Exception):
    """The sender could not keep its pace: the figures would be of another load."""


class SendTimes(NamedTuple):
    """When commands were sent, and how late by their sender's own pace."""

    at_ns: list[int]
    late_ms: list[float]


def measure(plan: BenchPlan, figures: BenchFigures, peak_per_s: float | None) -> None:
    """Shares of the peak and a fixed pace, in turn; first the peak, if it is not known."""
    with running() as daemon:
        daemon.wait_for_actors(ACTORS)
        workload = EncodedWorkload("l")
        daemon.open(workload, plan.sizes.chats)
        peak = peak_per_s or _peak(plan, daemon, workload)
        figures.add("of_a_peak_per_s", peak, PER_S)
        for number in range(1, plan.rounds + 1):
            for name, per_s in _paces(peak).items():
                plan.say(f"round {number}: {per_s:,.0f} commands a second")
                _round(daemon, workload, name, (per_s, plan.sizes.latency_s), figures)
        plan.say("the audit")
        daemon.check()


def _paces(peak_per_s: float) -> dict[str, float]:
    """Commands a second by name; one that the machine can't keep up is left out."""
    paces = {name: share * peak_per_s for name, share in SHARES.items()}
    return paces | ({"steady": STEADY_PER_S} if peak_per_s > STEADY_PER_S else {})


def _peak(plan: BenchPlan, daemon: BenchDaemon, workload: EncodedWorkload) -> float:
    plan.say("the peak")
    return work_off(daemon, workload.toggles(plan.sizes.latency_peak)).handled_per_s


def _round(
    daemon: BenchDaemon,
    workload: EncodedWorkload,
    name: str,
    load: tuple[float, float],
    figures: BenchFigures,
) -> None:
    per_s, seconds = load
    count = max(10, int(per_s * seconds))
    stream = f"latency-{len(figures.by_name)}-{time.monotonic_ns()}"
    commands = workload.toggles(count, reply_to=stream)
    ids = workload.last_ids(count)
    with contextlib.closing(ReplyReader(daemon.redis_url, KEYS.reply(stream), count)) as reader:
        sent = send_steadily(daemon.redis_url, commands, per_s)
        replies = reader.result(RESULT_S_MAX)
    for label, percent in PERCENTS.items():
        value = percentile(latencies_ms(ids, sent.at_ns, replies), percent)
        figures.add(f"{name}_{label}_ms", value, "ms")
    figures.add(f"{name}_sender_late_p99_ms", percentile(sent.late_ms, 99), "ms")
    daemon.until_handled()


def send_steadily(url: str, commands: Sequence[bytes], per_s: float) -> SendTimes:
    """Send commands at a steady pace, a few each millisecond, without waiting for anything.

    Raises:
        PaceError: it took too much longer than it should.
    """
    at_ns: list[int] = []
    late_ms: list[float] = []
    with Wire(url) as wire:
        began_ns, heard = time.monotonic_ns(), 0
        while len(at_ns) < len(commands):
            now_ns = time.monotonic_ns()
            due = min(len(commands), 1 + int((now_ns - began_ns) * per_s / 1e9))
            part = range(len(at_ns), due)
            late_ms += [(now_ns - began_ns) / 1e6 - i * 1e3 / per_s for i in part]
            at_ns += [now_ns] * len(part)
            wire.say([commands[i] for i in part])
            heard += wire.hear_now()
            time.sleep(TICK_S)
        took_s = (time.monotonic_ns() - began_ns) / 1e9
        wire.hear(len(commands) - heard)
    if took_s > (1 + LATE_SHARE_MAX) * len(commands) / per_s + 0.1:
        raise PaceError(f"{len(commands)} commands took {took_s:.1f} s at {per_s:.0f} a second")
    return SendTimes(at_ns, late_ms)


def latencies_ms(
    ids: Sequence[str], sent_ns: Sequence[int], replies: Mapping[str, list[Any]]
) -> list[float]:
    """From sending to the reply, for each command.

    Raises:
        LostRepliesError: a reply is missing, or tells of anything but success.
    """
    missing = sum(1 for id_ in ids if id_ not in replies)
    refused = [replies[id_][1] for id_ in ids if id_ in replies and replies[id_][1] != "ok"]
    if missing or refused:
        raise LostRepliesError(f"{missing} replies did not come; refused: {refused[:3]}")
    return [(replies[id_][0] - began_ns) / 1e6 for id_, began_ns in zip(ids, sent_ns, strict=True)]
