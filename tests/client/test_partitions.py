"""Both clients against a daemon with four partitions: the same table of requests and results."""

import json
from collections.abc import Iterator
from itertools import count

import pytest

from loadtests.common.live import LiveDaemon, live_daemon
from meterd.rules.partitions import partition_of
from tests.client.played import CASES, Client, play_case
from tests.client.typescript.node import NODE, PACKAGE, run
from tests.proxy import Proxy

pytestmark = [pytest.mark.acceptance, pytest.mark.ray, pytest.mark.timeout(180)]

PARTITIONS = 4
_NUMBERS = count()


@pytest.fixture(scope="module")
def live() -> Iterator[LiveDaemon]:
    with live_daemon(METERD_PARTITIONS=str(PARTITIONS), METERD_HTTP__ENABLED="0") as running:
        ready = ["ready"] * PARTITIONS

        def is_ready() -> bool:
            return [one["state"] for one in running.status().get("partitions", ())] == ready

        running.until(is_ready, 60)
        yield running


MAIN = (
    "a chat from beginning to end",
    "commands enqueued behind their chat's start take effect without its user",
    "a chat that never started is unknown, whoever it would be",
    "a lost answer to XADD is one effect by the command's own id",
    "a user's events come in order, each once, and go on after the last one",
)
"""Cases in which the partition matters most; the others are for `make test-slow`."""


@pytest.mark.parametrize(
    "case", [case if case in MAIN else pytest.param(case, marks=pytest.mark.slow) for case in CASES]
)
def test_a_case_of_the_table(
    live: LiveDaemon, live_proxy: Proxy, client: Client, case: str
) -> None:
    """Whoever calls a method need not know how many partitions there are."""
    play_case(case, live, live_proxy, client, f"case-{next(_NUMBERS)}")


def test_the_cases_are_in_several_partitions() -> None:
    """Else they would all be in one."""
    assert set(MAIN) <= CASES.keys()
    users = [f"case-{number}" for number in range(2 * len(MAIN))]
    assert {partition_of(user, PARTITIONS) for user in users} == set(range(PARTITIONS))


def test_partitions_are_counted_alike_in_both_languages() -> None:
    """CRC-32 of the bytes in UTF-8, for any text."""
    texts = ["", "ann", "bob", "123456789", "user-1@example.com", "é", "\u20ac", "\U0001f600" * 9]
    program = """
import { partition_of } from "./src/routing.js";
const texts = JSON.parse(process.argv[1]);
console.log(JSON.stringify(texts.map((text) => [1, 2, 16, 256].map((p) => partition_of(text, p)))));
"""
    told = run(NODE, "--input-type=module", "-e", program, json.dumps(texts), cwd=PACKAGE)
    expected = [[partition_of(text, p) for p in (1, 2, 16, 256)] for text in texts]
    assert json.loads(told.stdout) == expected
