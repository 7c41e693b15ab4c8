"""How fast transactions come in, by what they themselves write."""

import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, cast

import redis

from loadtests.peers.transaction import IDS, OUTBOX

_EVERY_S: Final = 0.02
_FROM, _TO = 0.1, 0.9
_QUIET_S: Final = 1.0
"""So long nothing more may come after the last job: what does is a duplicate."""


class JobSample(NamedTuple):
    """How many transactions had been done when, and what it had cost until then."""

    at_s: float
    done: int
    cpu_s: float
    server_cpu_s: float


class Slope(NamedTuple):
    """What lies between two samples."""

    jobs_per_s: float
    cpu_ms_per_job: float
    server_cpu_ms_per_job: float


class JobsNotDoneError(Exception):
    """The jobs were not done in time."""


def watch(
    client: redis.Redis, jobs: int, cpu_s: Callable[[], float], end_s: float
) -> list[JobSample]:
    """Sample until all jobs are done; ``end_s`` is a time of the monotonic clock."""
    samples = [_sample(client, cpu_s)]
    while samples[-1].done < jobs:
        if time.monotonic() > end_s:
            raise JobsNotDoneError(f"{samples[-1].done} of {jobs} jobs were done in time")
        time.sleep(_EVERY_S)
        samples.append(_sample(client, cpu_s))
    return samples


def slope(samples: Sequence[JobSample], jobs: int) -> Slope:
    """The pace between a tenth and nine tenths of the jobs: neither the start nor the end."""
    first = next(sample for sample in samples if sample.done >= jobs * _FROM)
    last = next(sample for sample in samples if sample.done >= jobs * _TO)
    done = last.done - first.done
    if not done:
        raise JobsNotDoneError(f"{jobs} jobs are too few to see a pace: ask for more")
    return Slope(
        done / (last.at_s - first.at_s),
        (last.cpu_s - first.cpu_s) / done * 1000,
        (last.server_cpu_s - first.server_cpu_s) / done * 1000,
    )


def duplicates(client: redis.Redis, jobs: int) -> int:
    """How many transactions there are beyond one for each job.

    Raises JobsNotDoneError if a job has none.
    """
    time.sleep(_QUIET_S)
    distinct = sum(1 for _ in client.scan_iter(match=_literally(IDS) + "*", count=5_000))
    if distinct != jobs:
        raise JobsNotDoneError(f"transactions of {distinct} jobs instead of {jobs} were found")
    return transactions(client) - jobs


def transactions(client: redis.Redis) -> int:
    """How many transactions have been done."""
    return client.xlen(OUTBOX)


def _sample(client: redis.Redis, cpu_s: Callable[[], float]) -> JobSample:
    used = cast("dict[str, float]", client.info("cpu"))
    server = used["used_cpu_user"] + used["used_cpu_sys"]
    done = transactions(client)
    return JobSample(time.monotonic(), done, cpu_s(), server)


def _literally(prefix: str) -> str:
    return prefix.replace("[", "\\[").replace("*", "\\*").replace("?", "\\?")
