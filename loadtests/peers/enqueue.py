"""``python -m loadtests.peers.enqueue NAME JOBS``: puts jobs 0 .. JOBS-1 into a peer's queue.

Runs in the peer's environment, as a program of its own: an application's side of the queue.
"""

import importlib
import sys


def main() -> None:
    """Hand the jobs to the peer's own client."""
    name, jobs = sys.argv[1], int(sys.argv[2])
    importlib.import_module(f"loadtests.peers.{name}.jobs").enqueue(jobs)


if __name__ == "__main__":
    main()
