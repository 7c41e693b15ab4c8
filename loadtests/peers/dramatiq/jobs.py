"""dramatiq on its Redis broker: functions in threads.

A message is acknowledged after the job; those of a worker that has shown no heartbeat for a
minute go back into the queue. That is dramatiq's own way, without any setting.
"""

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import Retries, ShutdownNotifications

from loadtests.peers.transaction import transact, url

# Of the middleware that is on by default only what keeps jobs: retries after errors, and the end
# of a worker. Age and time limits, callbacks and pipelines are not used and would take time.
broker = RedisBroker(url=url(), middleware=[ShutdownNotifications(), Retries()])
dramatiq.set_broker(broker)


@dramatiq.actor
def work(job: int) -> None:
    """Do one job."""
    transact(job)


def enqueue(jobs: int) -> None:
    """Queue the jobs."""
    for job in range(jobs):
        work.send(job)
