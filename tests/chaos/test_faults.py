"""Each fault alone, one after another, in one environment under load; at the end, the audit."""

import os
import random
import time
from collections.abc import Iterator

import pytest

from loadtests.common.timeouts import scaled
from tests.chaos.environment import ChaosEnvironment, chaos_environment
from tests.chaos.faults import CATALOGUE
from tests.chaos.faults.kills import actors
from tests.chaos.report import Strike
from tests.chaos.run import Run

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.acceptance, pytest.mark.timeout(240)]

THERE_S_MAX = scaled(30)
SPARE = "spare killed"

TWINS = (
    "all chat actors hung", "daemon killed", "daemon's own process hung", "engine hung",
    "GCS hung", "GCS killed, then an actor", "older functions loaded", "Postgres away",
)  # fmt: skip
"""Left to ``make chaos``, for the time they take: what they break breaks in others' tests too."""

ALL = bool(os.environ.get("CHAOS_ALL"))
ALONE = [name for name in CATALOGUE if name != SPARE and (ALL or name not in TWINS)]


@pytest.fixture(scope="module")
def made() -> Iterator[ChaosEnvironment]:
    with chaos_environment() as made:
        yield made


@pytest.fixture(scope="module")
def run(made: ChaosEnvironment) -> Run:
    seed = random.randrange(1 << 24)
    print(f"CHAOS_SEED={seed}")
    run = Run(made, seed, per_second=100)
    run.brief = True
    return run


def test_a_spare_that_is_killed_is_replaced(made: ChaosEnvironment) -> None:
    """Before there is any load: with so many chats, no actor is left without."""
    made.daemon.until(lambda: len(actors(made, spare=True)) == 1)
    (killed,) = actors(made, spare=True)
    CATALOGUE[SPARE].strike(made, random.Random(0))
    made.daemon.until(lambda: bool(set(actors(made, spare=True)) - {killed}))


@pytest.mark.parametrize("name", ALONE)
def test_after_it_every_actor_answers_and_postgres_has_it(run: Run, name: str) -> None:
    """Within a minute of the fix, without anybody's help."""
    assert not strike(run, name).trouble


def test_after_all_of_them_every_promise_was_kept(run: Run) -> None:
    """Nothing lost, applied twice, billed twice, forgotten, unanswered or left running."""
    run.finish()
    broken = {name: found for name, found in run.report.findings.items() if found}
    assert broken == {}
    assert run.report.drained
    assert run.report.left_over == []
    assert run.report.audit == "holds"


def strike(run: Run, name: str) -> Strike:
    """Strike as soon as there is something to strike."""
    deadline = time.monotonic() + THERE_S_MAX
    while (done := run.strike(CATALOGUE[name])) is None:
        assert time.monotonic() < deadline, "nothing to strike"
        run.rest(0.1)
    return done
