"""Each guard of the library is needed: without it, some play goes wrong."""

import re
from collections.abc import Iterator
from typing import Any, Final

import pytest

from persistence.redis.functions import source
from tests.interleavings.guards import GUARDS, SEEDS_MAX, plays_needed
from tests.interleavings.play_runner import PlayRunner, play_runner

LATE: Final = ("exists", "opened: memory")


@pytest.fixture(scope="module")
def it() -> Iterator[PlayRunner]:
    with play_runner() as found:
        yield found


def _param(name: str) -> Any:
    """One that only many plays miss is for ``make test-slow``."""
    return pytest.param(name, marks=pytest.mark.slow) if name in LATE else name


@pytest.mark.parametrize("name", [_param(name) for name in GUARDS])
def test_a_guard_is_missed(it: PlayRunner, name: str) -> None:
    """The plays notice soon that it is gone."""
    found = plays_needed(it, name)
    print(name, found)
    assert found is not None, f"{SEEDS_MAX} plays without {name}, and nothing went wrong"


def test_the_marked_guards_are_all_among_them() -> None:
    """Whoever marks a line of the library as a guard says here how to do without."""
    marked = set(re.findall(r"-- guard: (\w+)", source()))
    assert marked == marked & GUARDS.keys()
