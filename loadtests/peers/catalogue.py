"""The peers: how each one's workers are started. Why so stands in loadtests/peers/README.md."""

import sys
from pathlib import Path
from typing import Final, NamedTuple

FOLDER: Final = Path(__file__).parent
ROOT: Final = FOLDER.parents[1]
ENVIRONMENTS: Final = ROOT / ".meterd" / "peers"


class Peer(NamedTuple):
    """A library that does the jobs."""

    name: str
    package: str
    """What is installed, and whose version counts."""
    workers: tuple[tuple[str, ...], ...]
    """The modules that are run with their arguments, one for each process that is started."""
    settings: str
    """What was chosen, for the report."""
    is_own: bool = False
    """Runs in the project's own environment, and has no queue: its worker makes up the jobs."""

    @property
    def lock(self) -> Path:
        """What its environment consists of."""
        return FOLDER / self.name / "requirements.lock"

    @property
    def environment(self) -> Path:
        """Where its environment is made."""
        return Path(sys.prefix) if self.is_own else ENVIRONMENTS / self.name

    @property
    def python(self) -> Path:
        """The interpreter of its environment."""
        return Path(sys.executable) if self.is_own else self.environment / "bin" / "python"


_ARQ = ("arq", "loadtests.peers.arq.jobs.ArqSettings")
_CELERY = (
    "celery", "-A", "loadtests.peers.celery.jobs", "worker", "--loglevel", "WARNING",
    "--pool", "solo",
    "--without-gossip", "--without-mingle", "--without-heartbeat",
)  # fmt: skip
_DRAMATIQ = ("dramatiq", "loadtests.peers.dramatiq.jobs", "--processes", "2", "--threads", "16")
_TASKIQ = (
    "taskiq", "worker", "loadtests.peers.taskiq.jobs:broker", "--workers", "2",
    "--max-async-tasks", "100", "--ack-type", "when_executed", "--no-parse",
    "--log-level", "WARNING",
)  # fmt: skip

RAY_CALLS: Final = "ray_calls"

PEERS: Final = {
    peer.name: peer
    for peer in (
        Peer(
            "arq", "arq", (_ARQ,),
            "1 process, uvloop, max_jobs 100, poll_delay 0.01 s, results dropped",
        ),
        Peer(
            "celery", "celery", (_CELERY, _CELERY),
            "2 workers with the solo pool, acks_late, prefetch 64, results ignored",
        ),
        Peer(
            "dramatiq", "dramatiq", (_DRAMATIQ,),
            "2 processes of 16 threads, retries and shutdown notifications as its only middleware",
        ),
        Peer(
            "taskiq", "taskiq", (_TASKIQ,),
            "RedisStreamBroker, 2 workers of 100 tasks, acknowledged when executed, orjson",
        ),
        Peer(
            RAY_CALLS, "ray", (("loadtests.peers.ray_calls",),),
            "2 actors, one call per command, 1 000 calls under way", is_own=True,
        ),
    )
}  # fmt: skip
