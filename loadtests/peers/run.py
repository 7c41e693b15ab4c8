"""Measuring one peer: an empty queue server, all jobs queued, then its workers."""

import time
from pathlib import Path
from typing import Final, NamedTuple

import redis

from loadtests.common.servers import queue_server
from loadtests.peers.catalogue import PEERS, Peer
from loadtests.peers.count import JobSample, JobsNotDoneError, duplicates, slope, watch
from loadtests.peers.environment import install, version
from loadtests.peers.processes import PeerFailedError, Workers, enqueue
from persistence.redis.client import connect

TIMEOUT_S: Final = 180
"""How long the jobs may take, unless said otherwise."""


class PeerFigure(NamedTuple):
    """What one peer reached."""

    name: str
    version: str
    jobs_per_s: float
    settings: str
    jobs: int
    duplicates: int
    """Transactions beyond one for each job."""
    cpu_ms_per_job: float
    """Processor time of the peer's processes: on a busy machine it says more than the pace."""
    server_cpu_ms_per_job: float
    """Processor time of the queue's server."""


def measure(peer: str, jobs: int, timeout_s: float = TIMEOUT_S) -> PeerFigure:
    """Measure a peer by its name, as often as one likes; nothing stays but its environment.

    Raises PeerEnvironmentError if its environment can't be made, and PeerFailedError if it does not
    do all jobs in time.
    """
    chosen = PEERS[peer]
    install(chosen)
    with queue_server() as (url, folder), connect(url) as client:
        if not chosen.is_own:
            enqueue(chosen, url, jobs)
        samples, more = _work(chosen, url, folder, client, jobs, time.monotonic() + timeout_s)
    pace = slope(samples, jobs)
    return PeerFigure(
        name=peer,
        version=version(chosen),
        jobs_per_s=pace.jobs_per_s,
        settings=chosen.settings,
        jobs=jobs,
        duplicates=more,
        cpu_ms_per_job=pace.cpu_ms_per_job,
        server_cpu_ms_per_job=pace.server_cpu_ms_per_job,
    )


def _work(
    peer: Peer, url: str, folder: Path, client: redis.Redis, jobs: int, end_s: float
) -> tuple[list[JobSample], int]:
    workers = Workers(peer, url, jobs, folder)

    def cpu_s() -> float:
        if workers.failed():
            raise JobsNotDoneError("a worker has ended")
        return workers.cpu_s()

    try:
        return watch(client, jobs, cpu_s, end_s), duplicates(client, jobs)
    except JobsNotDoneError as error:
        raise PeerFailedError(
            f"{peer.name}: {error}. Its workers said: {workers.output()}"
        ) from None
    finally:
        workers.stop()
