"""How long people wait at the command line: the help, the status, and a daemon's second start."""

import os
import subprocess
import time
from typing import Final

from loadtests.bench.actors import end_warm
from loadtests.bench.daemon import BenchDaemon, running
from loadtests.bench.figures import BenchFigures
from loadtests.bench.plan import BenchPlan
from loadtests.bench.throughput import ACTORS

ANSWERS: Final = (("help", "--help"), ("status", "status"))
"""A name for the figures, and what is typed after ``meterd``."""

WITH_BYTECODE: Final = {"PYTHONDONTWRITEBYTECODE": ""}
"""As installed: modules that are compiled at each start take longer than all else."""


class CommandFailedError(Exception):
    """A command did not exit with 0: how long it took means nothing."""


def measure(plan: BenchPlan, figures: BenchFigures) -> None:
    """Both commands while the daemon runs, then stop it, and start it on the data that it has."""
    with running(WITH_BYTECODE) as daemon:
        daemon.wait_for_actors(ACTORS)  # nothing starts any more that would take the CPU
        for _, typed in ANSWERS:
            _run(daemon, typed)
        for number in range(1, plan.rounds + 1):
            plan.say(f"round {number}: help, status")
            for name, typed in ANSWERS:
                took_s, cpu_s = _run(daemon, typed)
                figures.add(f"{name}_s", took_s, "s")
                figures.add(f"{name}_cpu_s", cpu_s, "s")
        end_warm(daemon, 2 * ACTORS)  # what open chats take is measured as ``recovery``
        for number in range(1, plan.rounds + 1):
            plan.say(f"round {number}: stop, start")
            daemon.stop()
            began_s = time.perf_counter()
            daemon.start()
            figures.add("second_start_s", time.perf_counter() - began_s, "s")


def _run(daemon: BenchDaemon, typed: str) -> tuple[float, float]:
    """Seconds until the command has ended, and seconds of CPU that it took."""
    began_s = time.perf_counter()
    process = subprocess.Popen(
        [daemon.command, typed], env=daemon.env, cwd=daemon.home.parent, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    _, status, usage = os.wait4(process.pid, 0)
    took_s = time.perf_counter() - began_s
    process.returncode = os.waitstatus_to_exitcode(status)  # it has been waited for
    if process.returncode:
        raise CommandFailedError(f"meterd {typed}: exit code {process.returncode}")
    return took_s, usage.ru_utime + usage.ru_stime
