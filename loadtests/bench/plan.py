"""How much is measured, and how the measurements tell what they are at."""

from collections.abc import Callable
from typing import Final, NamedTuple


class Sizes(NamedTuple):
    """The sizes of all measurements."""

    chats: int = 1_000
    """Open while the daemon's pace is measured."""
    commands: int = 60_000
    """The backlog of the peak."""
    accounts: int = 20_000
    """With one command each under way, so that no two of them share a commit."""
    mixed: int = 20_000
    """The backlog of the realistic variant."""
    max_throughput: int = 30_000
    """Commits pushed by one client."""
    peer_jobs: tuple[tuple[str, int], ...] = (
        ("arq", 3_000),
        ("celery", 4_000),
        ("dramatiq", 8_000),
        ("taskiq", 8_000),
        ("ray_calls", 6_000),
    )
    latency_s: float = 6.0
    """How long each pace is kept."""
    latency_peak: int = 20_000
    """The backlog that tells what half of the peak is, if the peak was not measured before."""
    idle_chats: tuple[int, ...] = (1_000, 10_000, 100_000)
    idle_s: float = 21.0
    idle_commands: int = 16_000
    due_chats: int = 10_000
    due_s: float = 40.0
    actors: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    actors_commands: int = 9_000
    actors_s: float = 2.5
    actors_starts: int = 60
    cold_starts: int = 6
    recovery_chats: int = 100_000
    records: int = 20_000
    reads_s: float = 8.0
    """How long snapshots are read, at each pace."""
    account_commands: int = 2_000
    """Commands of one account, a commit each."""
    account_chats: tuple[int, int] = (300, 3_000)
    """Open chats of a small and of a large account."""
    streams: int = 2_000
    stream_commands: int = 4_000


FULL_CHATS: Final = 300_000

QUICK: Final = Sizes(
    chats=100,
    commands=3_000,
    accounts=300,
    mixed=1_000,
    max_throughput=2_000,
    peer_jobs=(
        ("arq", 300),
        ("celery", 300),
        ("dramatiq", 500),
        ("taskiq", 500),
        ("ray_calls", 500),
    ),
    latency_s=2.0,
    latency_peak=2_000,
    idle_chats=(100, 1_000),
    idle_s=3.0,
    idle_commands=1_000,
    due_chats=200,
    due_s=5.0,
    actors=(1, 2),
    actors_commands=1_000,
    actors_s=1.0,
    actors_starts=5,
    cold_starts=2,
    recovery_chats=1_000,
    records=1_000,
    reads_s=1.0,
    account_commands=100,
    account_chats=(10, 50),
    streams=50,
    stream_commands=200,
)


class BenchPlan(NamedTuple):
    """What a run is to do."""

    sizes: Sizes
    rounds: int
    with_peers: bool
    say: Callable[[str], None]
    """Takes what is being done at the moment, for a person."""
