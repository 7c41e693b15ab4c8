"""A server that lost the end of its file, at any byte: each commit is there whole or not at all."""

import os
import random
import shutil
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from persistence.redis.client import connect
from persistence.redis.functions import load_functions
from tests.persistence.kept import (
    DURABLE,
    KEYS,
    History,
    Watched,
    aof_of,
    essence,
    lead,
    state,
    work,
    write,
)
from tests.servers import kinds, server_in

pytestmark = pytest.mark.slow

CUTS_MAX = int(os.environ.get("METERD_TEST_CUTS", "60"))
ENTRIES = 60
LAST = 3
"""Of so many commits at the end every byte is cut at, as far as ``METERD_TEST_CUTS`` goes."""


@pytest.mark.timeout(120 + CUTS_MAX)
@pytest.mark.parametrize("kind", kinds())
def test_a_commit_is_there_whole_or_not_at_all(kind: str, tmp_path: Path) -> None:
    """State, wallet, snapshots, ids, replies, events, outbox and acknowledgement agree.

    What is left is exactly what was there after the last commit that is whole; from there, the
    rest of the entries, delivered again, make what they had made before.
    """
    seed = int.from_bytes(os.urandom(4))
    print(f"seed {seed}")
    rng, whole = random.Random(seed), tmp_path / "whole"
    whole.mkdir()
    with server_in(whole, kind, *DURABLE) as url:
        history = write(url, whole, rng, ENTRIES)
    assert len(history.ends) > 24, "a few dozen commits"
    assert history.ends[-1] == aof_of(whole).stat().st_size
    with ThreadPoolExecutor(2) as pool:
        check = partial(_check, kind, whole, history)
        assert list(pool.map(check, _cuts(rng, history))) == [None] * CUTS_MAX


def _cuts(rng: random.Random, history: History) -> list[int]:
    """Two thirds in the last commits, where their ends are too; the rest anywhere before."""
    ends = history.ends
    late = list(range(ends[-LAST - 1] - 1, ends[-1] + 1))
    edges = [end + step for end in ends[-LAST - 1 :] for step in (-1, 0, 1)][:-1]
    chosen = edges + rng.sample(late, min(len(late), CUTS_MAX * 2 // 3 - len(edges)))
    return chosen + rng.choices(range(ends[0], ends[-LAST - 1]), k=CUTS_MAX - len(chosen))


def _check(kind: str, whole: Path, history: History, length: int) -> None:
    folder = whole.with_name(f"cut-{length}-{random.randrange(2**32)}")
    shutil.copytree(whole, folder)
    with aof_of(folder).open("r+b") as file:
        file.truncate(length)
    with server_in(folder, kind, *DURABLE) as url, connect(url) as client:
        assert state(client) == history.after(length), f"cut at {length}"
        load_functions(client)
        pending = {entry.decode() for entry in state(client)["pending"]}
        tasks = [task for task in history.tasks if task.entry in pending]
        work(Watched(client, lambda: None), lead(client, "after"), tasks, random.Random(length))
        assert essence(state(client)) == essence(history.states[-1]), f"after a cut at {length}"
    shutil.rmtree(folder)


def test_a_file_is_written_before_its_commit_is_answered(tmp_path: Path) -> None:
    """Or the lengths noted above would prove nothing."""
    with server_in(tmp_path, kinds()[0], *DURABLE) as url, connect(url) as client:
        before = aof_of(tmp_path).stat().st_size
        client.set(KEYS.clock_hold, "x" * 1_000)
        assert aof_of(tmp_path).stat().st_size > before + 1_000
