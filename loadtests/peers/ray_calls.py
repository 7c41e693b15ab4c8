"""``python -m loadtests.peers.ray_calls JOBS``: one Ray call per command, as if without batches.

Two plain actors, calls sent without waiting for the ones before, and in each call the same
transaction that the peers do. Runs in the project's own environment.
"""

import os
import sys
from pathlib import Path
from typing import Any, Final

import ray

from daemon.process.engine_client import RAY_SETTINGS
from daemon.process.ray_start import start_ray
from loadtests.peers.transaction import transact

ACTORS: Final = 2
UNDER_WAY: Final = 1_000
"""Calls sent and not answered, of both actors together."""


class _Doer:
    """Does one job a call."""

    def do(self, job: int) -> None:
        """Do a job."""
        transact(job)


def main() -> None:
    """Start a cluster of our own, have the jobs done, and leave."""
    os.environ.update(RAY_SETTINGS)  # as the daemon has it
    start_ray(None, str(Path.cwd()))  # the runner's folder, which goes when all has ended
    try:
        _call(int(sys.argv[1]))
    finally:
        ray.shutdown()


def _call(jobs: int) -> None:
    actors = [ray.remote(_Doer).remote() for _ in range(ACTORS)]
    waiting: list[Any] = []
    for job in range(jobs):
        waiting.append(actors[job % ACTORS].do.remote(job))
        if len(waiting) >= UNDER_WAY:
            waiting = _some_done(waiting)
    ray.get(waiting)


def _some_done(waiting: list[Any]) -> list[Any]:
    """Wait for a tenth of the calls; those that are not done remain."""
    done: list[Any]
    remaining: list[Any]
    done, remaining = ray.wait(waiting, num_returns=UNDER_WAY // 10)
    ray.get(done)
    return remaining


if __name__ == "__main__":
    main()
