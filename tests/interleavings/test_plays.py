"""Whatever is lost, late, hung, superseded or started again: what is there equals the fold."""

import os
import random
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.interleavings.many import how_to_replay
from tests.interleavings.play_context import FATES
from tests.interleavings.play_runner import PlayRunner, play_runner

PARTS = 2
"""The second one is for ``make test-slow``."""
PLAYS = int(os.environ.get("METERD_TEST_PLAYS", "400")) // PARTS
"""Of each part: enough for ``COVERED``; ``make interleavings`` plays many more."""
REPLAY = os.environ.get("INTERLEAVING_SEED")
FIRST = int.from_bytes(os.urandom(4))

COVERED = {
    *FATES, "ok", "done", "stale", "known", "fenced", "settle", "succeed", "stop", "restart",
    "haunt", "rival", "drop", "hold", "release", "dispose", "trim", "employ", "arrive", "perjure",
}  # fmt: skip
"""What so many plays bring up for sure; ``exists`` only under a careless dispatcher."""


@pytest.fixture(scope="module")
def it() -> Iterator[PlayRunner]:
    with play_runner() as found:
        yield found


def _play(it: PlayRunner, seed: int) -> Counter[str]:
    try:
        context = it.play(seed)
    except BaseException:
        print(f"seed {seed}: {how_to_replay(seed)}")
        raise
    return context.told + context.monitor.seen


@pytest.mark.skipif(REPLAY is not None, reason="one play is played again")
@pytest.mark.parametrize("part", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_play_ends_as_the_fold_does(it: PlayRunner, part: int) -> None:
    """State, wallets, ids, replies, events, rows: each once; nothing by whom it may not be."""
    first = FIRST + part * PLAYS
    print(f"seeds {first} to {first + PLAYS - 1}")
    told: Counter[str] = Counter()
    for seed in range(first, first + PLAYS):
        told += _play(it, seed)
    assert PLAYS < 200 or told.keys() >= COVERED, COVERED - told.keys()


@pytest.mark.skipif(REPLAY is None, reason="INTERLEAVING_SEED names a play")
def test_one_play_ends_as_the_fold_does(it: PlayRunner) -> None:
    """The one that failed elsewhere."""
    _play(it, int(REPLAY or 0))


def test_a_seed_is_a_play(it: PlayRunner) -> None:
    """Played again, everything happens again, step by step."""
    seed = random.randrange(2**32) & ~1
    print(f"seed {seed}")
    first, again = it.play(seed), it.play(seed)
    assert first.trace == again.trace
    assert first.log == again.log


def test_a_chat_has_one_life_even_under_a_careless_dispatcher(it: PlayRunner) -> None:
    """Two users may start one chat at the same time: one of them has it."""
    told: Counter[str] = Counter()
    plays = 0
    while plays < 50 or (not told["exists"] and plays < 2_000):
        print(f"seed {FIRST + plays}")
        told += it.play_carelessly(FIRST + plays).monitor.seen
        plays += 1
    assert told["exists"], "it has come to that"
