"""Many plays: ``python -m tests.interleavings.many SEEDS [FIRST]``, or ``make interleavings``.

Stops at the first play that fails and says how to see it again.
"""

import multiprocessing
import os
import sys
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Final, NamedTuple

from tests.interleavings.play_runner import play_runner

CHUNK: Final = 250


class Failure(NamedTuple):
    """A play that failed."""

    seed: int
    trace: str


def play_some(first: int, count: int) -> Failure | None:
    """So many plays in a row; the first that fails, if any does."""
    with play_runner() as it:
        for seed in range(first, first + count):
            try:
                it.play(seed)
            except Exception:
                return Failure(seed, traceback.format_exc())
    return None


def how_to_replay(seed: int) -> str:
    """What to type to see it again."""
    return f"INTERLEAVING_SEED={seed} make test ARGS='tests/interleavings -k fold'"


def _chunks(first: int, count: int) -> Iterator[tuple[int, int]]:
    for begin in range(first, first + count, CHUNK):
        yield begin, min(CHUNK, first + count - begin)


def main(count: int, first: int = 0) -> int:
    """Play them on all processors; 1 if one failed."""
    began, done = time.monotonic(), 0
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=spawn) as pool:
        chunks = {pool.submit(play_some, *chunk): chunk[1] for chunk in _chunks(first, count)}
        for chunk in as_completed(chunks):
            failure, done = chunk.result(), done + chunks[chunk]
            if failure is not None:
                pool.shutdown(cancel_futures=True)
                print(f"{failure.trace}\nseed {failure.seed}: {how_to_replay(failure.seed)}")
                return 1
            print(f"{done} of {count} plays, {done / (time.monotonic() - began):.0f} a second")
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
