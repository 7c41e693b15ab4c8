"""taskiq with taskiq-redis: coroutines from a stream with a consumer group.

Of its brokers only RedisStreamBroker acknowledges, after the job (``--ack-type when_executed``):
what a dead worker leaves pending is claimed by another one after ``idle_timeout`` (ten minutes).
"""

import asyncio

from taskiq.serializers import ORJSONSerializer
from taskiq_redis import RedisStreamBroker

from loadtests.peers.transaction import transact_async, url

_AT_ONCE = 500

# From the stream's beginning, since jobs are queued before any worker reads. No result backend
# is set, so results are dropped. The stream is not trimmed: that could drop jobs. A lock that a
# dead worker held opens by itself, or nobody could claim what it left.
broker = RedisStreamBroker(
    url(), consumer_id="0", xread_count=100, unacknowledged_lock_timeout=60
).with_serializer(ORJSONSerializer())


@broker.task(task_name="work")
async def work(job: int) -> None:
    """Do one job."""
    await transact_async(job)


async def _enqueue(jobs: int) -> None:
    await broker.startup()
    for first in range(0, jobs, _AT_ONCE):
        page = range(first, min(first + _AT_ONCE, jobs))
        await asyncio.gather(*(work.kiq(job) for job in page))
    await broker.shutdown()


def enqueue(jobs: int) -> None:
    """Queue the jobs."""
    asyncio.run(_enqueue(jobs))
