"""Celery on its Redis transport: functions, one after the other in each worker.

Acknowledged after the job, and given back if its worker is lost: what a dead worker has taken
comes again after the transport's visibility time-out (an hour unless set otherwise).
"""

from celery import Celery

from loadtests.peers.transaction import transact, url

app = Celery("peer", broker=url())
app.conf.update(
    task_acks_late=True,  # at least once, as meterd's commands
    task_reject_on_worker_lost=True,
    task_ignore_result=True,  # nobody asks for results
    worker_prefetch_multiplier=64,  # jobs are short, round trips are not
    worker_enable_remote_control=False,  # nobody controls it; saves its broadcast queue
    broker_connection_retry_on_startup=True,
)


@app.task(name="work")
def work(job: int) -> None:
    """Do one job."""
    transact(job)


def enqueue(jobs: int) -> None:
    """Queue the jobs."""
    with app.producer_pool.acquire(block=True) as producer:
        for job in range(jobs):
            work.apply_async((job,), producer=producer)
