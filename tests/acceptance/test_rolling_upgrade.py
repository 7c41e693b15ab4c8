"""Two daemons are upgraded one after the other while backends send: nobody waits for long."""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
import redis

from loadtests.common.timeouts import scaled
from meterd import Meter
from persistence.postgres import reader
from persistence.postgres.engine import make_engine
from persistence.redis.functions import library_name
from persistence.redis.versions import VERSION
from tests.acceptance.backends import Backends
from tests.acceptance.four_partitions import PARTITIONS, user_of_each
from tests.acceptance.next_version import NAME, NEXT, make_next
from tests.acceptance.two_daemons import StandingBy, two_daemons

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.acceptance, pytest.mark.timeout(420)]

USERS: Final = user_of_each("user")
"""One for each of four partitions."""
ACTORS: Final = 4
NEVER_MS: Final = 600_000
GAP_S_MAX: Final = 6.0
"""A daemon that is stopped finishes what it has, and resigns. The other one asks again when the
lease would have ended (2 s), compares the state, and takes the processes that it has warm: 1.5 to
3.1 s after a daemon's death in the tests of a take-over. The rest is for a busy machine."""


class Pair(NamedTuple):
    """Two daemons of one queue, and what the next version of them is."""

    first: StandingBy
    second: StandingBy
    client: redis.Redis
    redis_url: str
    postgres_url: str
    folder: Path
    partitions: int


@pytest.fixture(params=[1, PARTITIONS], ids=["one partition", "four partitions"])
def pair(request: pytest.FixtureRequest, url: str) -> Iterator[Pair]:
    """Two daemons between which nothing moves but by what the test does."""
    partitions: int = request.param
    with two_daemons(url, partitions, NEVER_MS) as made:
        folder = made.first.home.parent / "next"
        for daemon in (made.first, made.second):
            daemon.env["METERD_ACTORS__MAX"] = str(ACTORS)
        redis_url = made.first.env["METERD_REDIS__URL"]
        yield Pair(made.first, made.second, made.client, redis_url, url, folder, partitions)


def _begin(daemon: StandingBy, path: str, expected: str) -> None:
    """Start a daemon as the version that is at a path; empty: the one that is installed."""
    daemon.env.pop("PYTHONPATH", None)
    if path:
        daemon.env["PYTHONPATH"] = path
    (daemon.home / "state.json").unlink(missing_ok=True)
    log = daemon.home / "logs" / "supervisor.log"
    before = log.stat().st_size if log.exists() else 0
    daemon.begin()
    assert daemon.here() == expected
    if expected == "standby":
        daemon.until(lambda: _is_warm(log, before))


def _is_warm(log: Path, offset: int) -> bool:
    """Whether a daemon has started all processes for the chats that it may take over."""
    with log.open() as file:
        file.seek(offset)
        events = map(json.loads, file.read().splitlines())
        return any(e["event"] == "actor.warm" and e["ready"] == ACTORS for e in events)


def _stop(daemon: StandingBy) -> None:
    assert daemon.stop() == 0, daemon.output()


def _leading(daemon: StandingBy) -> tuple[int, bool]:
    """By which functions the daemon works that leads, and whether it is the next version."""
    status = daemon.published()
    return status["functions"], status["version"] == NAME


def _take_over(leaving: StandingBy, coming: StandingBy) -> None:
    """Stop the one that leads; the other one leads."""
    _stop(leaving)
    coming.until(lambda: coming.here() == "ready")


def _assert_each_had_its_effect_once(pair: Pair, backends: Backends) -> None:
    engine = make_engine(pair.postgres_url)
    with engine.connect() as connection:
        rows = [
            (number, row.stream_id, row.outcome)
            for number in range(pair.partitions)
            for row in reader.journal_since(connection, 0, partition=number)
            if row.fields["type"] != "settle"
        ]
    engine.dispose()
    assert [outcome for *_, outcome in rows] == ["ok"] * sum(map(len, backends.answered.values()))
    assert len({(number, entry) for number, entry, _ in rows}) == len(rows)
    with Meter(pair.redis_url) as meter:
        for user in USERS:
            assert meter.wallet(user).balance == Decimal(backends.top_ups(user))


def _assert_nobody_noticed(pair: Pair, backends: Backends) -> None:
    """Every command was answered once, in time, and the books are right."""
    assert not backends.errors
    pair.first.until_handled()
    audit = pair.first.run("audit")
    assert audit.returncode == 0, audit.stdout
    _assert_each_had_its_effect_once(pair, backends)
    assert backends.longest_gap_s() < scaled(GAP_S_MAX)


def test_two_daemons_are_upgraded_one_after_the_other_under_load(pair: Pair) -> None:
    """First the one that stands by, then the one that leads; the new schema is there from the first
    step on, and the older daemon records on. Afterwards there is no way back."""
    first, second = pair.first, pair.second
    upgraded = make_next(pair.folder, with_migration=True)
    _begin(first, "", "ready")
    _begin(second, "", "standby")
    backends = Backends(pair.redis_url, USERS)
    try:
        backends.wait()
        epoch = first.published()["epoch"]

        _stop(second)
        _begin(second, upgraded, "standby")
        backends.wait()
        assert _leading(first) == (VERSION, False), "the older one leads on"
        assert first.published()["epoch"] == epoch
        first.until_handled()

        _take_over(first, second)
        backends.wait()
        assert _leading(second) == (NEXT, True)

        _begin(first, upgraded, "standby")
        _take_over(second, first)
        backends.wait()
        assert _leading(first) == (NEXT, True)
    finally:
        backends.stop()
    _assert_nobody_noticed(pair, backends)
    found: Any = pair.client.function_list(library="meterd*")
    assert {one[1].decode() for one in found} == {library_name(VERSION), library_name(NEXT)}

    second.env.pop("PYTHONPATH")
    refused = second.run("up")
    assert refused.returncode != 0
    assert "newer than this meterd knows" in refused.stdout + refused.stderr


def test_the_older_version_takes_the_lead_back(pair: Pair) -> None:
    """Where neither the schema nor what is kept in Redis has changed, an upgrade can be undone."""
    first, second = pair.first, pair.second
    upgraded = make_next(pair.folder, with_migration=False)
    _begin(first, "", "ready")
    backends = Backends(pair.redis_url, USERS)
    try:
        _begin(second, upgraded, "standby")
        _take_over(first, second)
        backends.wait()
        assert _leading(second) == (NEXT, True)
        _begin(first, "", "standby")
        _take_over(second, first)
        backends.wait()
        assert _leading(first) == (VERSION, False)
    finally:
        backends.stop()
    _assert_nobody_noticed(pair, backends)
