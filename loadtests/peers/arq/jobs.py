"""arq: coroutines from a sorted set of job ids, one event loop a process.

A job stays in the queue until it is done and is marked as in progress meanwhile; the mark of a
dead worker expires after ``job_timeout`` and ten seconds, and another worker does the job.
"""

import asyncio
from typing import Any, ClassVar

import uvloop
from arq import create_pool, func
from arq.connections import RedisSettings

from loadtests.peers.transaction import transact_async, url

asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())  # before arq makes its loop

_AT_ONCE = 500


async def work(_context: dict[str, Any], job: int) -> None:
    """Do one job."""
    await transact_async(job)


class ArqSettings:
    """What ``arq`` runs."""

    redis_settings = RedisSettings.from_dsn(url())
    functions: ClassVar[list[Any]] = [func(work, name="work")]
    max_jobs = 100  # of 10 (the default), 100 and 500: with 10 it waits, 500 gave no more
    poll_delay = 0.01  # half a second by default, which would be waited after every batch
    keep_result = 0  # nobody asks for results
    log_results = False


async def _enqueue(jobs: int) -> None:
    pool = await create_pool(ArqSettings.redis_settings)
    for first in range(0, jobs, _AT_ONCE):
        page = range(first, min(first + _AT_ONCE, jobs))
        await asyncio.gather(*(pool.enqueue_job("work", job) for job in page))
    await pool.aclose()


def enqueue(jobs: int) -> None:
    """Queue the jobs."""
    asyncio.run(_enqueue(jobs))
