"""The peers do what a commit does, and are counted right."""

import asyncio
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from packaging.requirements import Requirement

from loadtests.peers import transaction
from loadtests.peers.catalogue import FOLDER, PEERS, Peer
from loadtests.peers.count import JobSample, JobsNotDoneError, duplicates, slope, transactions
from loadtests.peers.environment import is_installed
from loadtests.peers.processes import PeerFailedError
from loadtests.peers.run import measure
from persistence.redis.client import connect
from tests.loadtests.paused import writes_of_a_pause
from tests.project._project import imported_modules
from tests.servers import redis_server

LIBRARIES = [peer for peer in PEERS.values() if not peer.is_own]
WITHIN = 0.1
JOBS = 300


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[redis.Redis]:
    """A client of an empty server, which the transactions go to."""
    with redis_server() as url, connect(url) as found:
        monkeypatch.setenv(transaction.URL_VARIABLE, url)
        yield found
    transaction.client.cache_clear()
    transaction.async_client.cache_clear()


def _line(write: transaction.Write) -> str:
    return " ".join(map(str, write))


def _shape(line: str) -> str:
    """A write without its numbers and hashes."""
    return re.sub(r"[0-9a-f]{16,}|[0-9]+", "0", line)


@pytest.mark.redis
def test_a_transaction_writes_what_a_commit_writes(client: redis.Redis) -> None:
    """Write by write: the same command, the same text but for numbers, the same size."""
    # A transaction makes the stream if it is not there; the function does that in another call.
    real = [line.replace(" NOMKSTREAM", "") for line in writes_of_a_pause(client)]
    ours = [_line(write) for write in transaction.writes(job=3)]
    assert [_shape(line) for line in ours] == [_shape(line) for line in real]
    for one, other in zip(ours, real, strict=True):
        assert abs(len(one) - len(other)) <= WITHIN * len(other)
    assert abs(len("".join(ours)) - len("".join(real))) <= WITHIN * len("".join(real))


@pytest.mark.redis
def test_a_transaction_is_one_multi_exec(client: redis.Redis) -> None:
    """All of a job's writes in one transaction, in order, and the same from a coroutine."""
    expected = ["MULTI", *map(_line, transaction.writes(job=7)), "EXEC"]
    with client.monitor() as monitor:  # type: ignore[no-untyped-call]
        transaction.transact(7)
        asyncio.run(_from_a_coroutine(7))
        client.ping()
        seen = _until_ping(monitor)
    assert seen == expected * 2


async def _from_a_coroutine(job: int) -> None:
    await transaction.transact_async(job)
    await transaction.async_client().aclose()


def _until_ping(monitor: Any) -> list[str]:
    """What came in until the last PING, but for what a connection begins with."""
    lines: list[str] = []
    while "PING" not in lines:
        lines.append(str(monitor.next_command()["command"]))
    greetings = ("HELLO", "CLIENT", "PING", "SELECT", "INFO", "COMMAND")
    return [line for line in lines if not line.startswith(greetings)]


@pytest.mark.redis
def test_jobs_are_counted_and_so_are_those_done_twice(client: redis.Redis) -> None:
    """A transaction more than there are jobs is a duplicate, a job without one an error."""
    for job in (0, 1, 2, 1):
        transaction.transact(job)
    assert transactions(client) == 4
    assert duplicates(client, jobs=3) == 1
    with pytest.raises(JobsNotDoneError, match="3 jobs instead of 4"):
        duplicates(client, jobs=4)


def test_the_pace_leaves_out_start_and_end() -> None:
    """Nothing for ten seconds, 100 jobs a second, then a slow last job."""
    samples = [JobSample(0, 0, 0, 0), JobSample(10, 0, 5, 0)]
    samples += [JobSample(10 + i / 10, 10 * i, 5 + i / 100, i / 1000) for i in range(1, 100)]
    samples.append(JobSample(60, 1_000, 9, 9))
    found = slope(samples, 1_000)
    assert found.jobs_per_s == pytest.approx(100)
    assert found.cpu_ms_per_job == pytest.approx(1)
    assert found.server_cpu_ms_per_job == pytest.approx(0.1)


def test_no_pace_is_read_from_one_sample() -> None:
    """All jobs between two looks: that tells nothing."""
    with pytest.raises(JobsNotDoneError, match="too few"):
        slope([JobSample(0, 0, 0, 0), JobSample(1, 100, 0, 0)], 100)


@pytest.mark.parametrize("name", ["transaction", "enqueue"])
def test_what_peers_run_needs_redis_alone(name: str) -> None:
    """Their environments have none of the project's dependencies."""
    roots = {each.partition(".")[0] for each in imported_modules(FOLDER / f"{name}.py")}
    assert roots <= {*sys.stdlib_module_names, "redis"}


@pytest.mark.parametrize("peer", LIBRARIES, ids=lambda peer: peer.name)
def test_a_peer_is_locked_with_hashes_and_without_addresses(peer: Peer) -> None:
    """The lock has every wanted package at an allowed version, and says not where from."""
    text = peer.lock.read_text()
    assert not re.search(r"://|--(extra-)?index-url|--find-links|--trusted-host", text)
    locked = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, re.MULTILINE))
    assert text.count("--hash=sha256:") >= len(locked)
    wanted = [line.partition("#")[0] for line in _lines(peer)]
    for requirement in map(Requirement, wanted):
        assert requirement.specifier.contains(locked[requirement.name])
    assert peer.package in locked


def _lines(peer: Peer) -> list[str]:
    return peer.lock.with_suffix(".in").read_text().splitlines()


@pytest.mark.redis
def test_a_worker_that_ends_fails_the_measure_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting for the time-out, and what the worker said is told."""
    broken = Peer("broken", "redis", (("loadtests.peers.enqueue",),), "", is_own=True)
    monkeypatch.setitem(PEERS, "broken", broken)
    with pytest.raises(PeerFailedError, match=r"a worker has ended(.|\n)*IndexError"):
        measure("broken", JOBS)


@pytest.mark.redis
def test_jobs_that_take_too_long_fail_the_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that does nothing is stopped when the time is up."""
    sleeper = ("timeit", "-n", "1", "-s", "import time", "time.sleep(60)")
    idle = Peer("idle", "redis", (sleeper,), "", is_own=True)
    monkeypatch.setitem(PEERS, "idle", idle)
    with pytest.raises(PeerFailedError, match="0 of 300 jobs were done in time"):
        measure("idle", JOBS, timeout_s=0.2)


@pytest.mark.slow
@pytest.mark.redis
@pytest.mark.parametrize("peer", LIBRARIES, ids=lambda peer: peer.name)
def test_a_peer_does_its_jobs(peer: Peer) -> None:
    """A small real run, each job once; only where its environment has been made."""
    if not is_installed(peer):
        pytest.skip(f"python -m loadtests.peers --peer {peer.name} makes its environment")
    figure = measure(peer.name, JOBS)
    assert (figure.jobs, figure.duplicates) == (JOBS, 0)
    assert figure.jobs_per_s > 0


@pytest.mark.slow
@pytest.mark.redis
@pytest.mark.ray
def test_ray_calls_do_their_jobs() -> None:
    """The same with plain Ray actors, for which there is nothing to install."""
    jobs = 10 * JOBS  # a few hundred are done between two samples
    figure = measure("ray_calls", jobs)
    assert (figure.jobs, figure.duplicates) == (jobs, 0)
