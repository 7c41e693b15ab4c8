"""One table of requests, faults and results, on every client and the real daemon."""

from collections.abc import Iterator
from itertools import count

import pytest

from loadtests.common.live import LiveDaemon
from meterd.rules.commands import SHAPES
from tests.client.either import maker
from tests.client.played import CASES, Client, NodeClient, Play, PythonClient
from tests.client.typescript.node import Driver
from tests.proxy import Proxy, proxy_to

pytestmark = [pytest.mark.acceptance, pytest.mark.ray, pytest.mark.timeout(60)]

_NUMBERS = count()


@pytest.fixture
def live_proxy(live: LiveDaemon) -> Iterator[Proxy]:
    with proxy_to(live.redis_url) as proxy:
        yield proxy


@pytest.fixture(params=["typescript", "threads", pytest.param("asyncio", marks=pytest.mark.slow)])
def client(request: pytest.FixtureRequest, live_proxy: Proxy) -> Iterator[Client]:
    """A client of each kind behind the proxy."""
    if request.param == "typescript":
        driver: Driver = request.getfixturevalue("driver")
        client = NodeClient(driver, f"meter-{next(_NUMBERS)}", live_proxy.url)
        yield client
        client.close().result(10)
    else:
        with maker(request.param) as make:
            yield PythonClient(make(live_proxy.url))
            live_proxy.flow()


@pytest.mark.parametrize("case", CASES)
def test_a_case_of_the_table(
    live: LiveDaemon, live_proxy: Proxy, client: Client, case: str
) -> None:
    """Whatever the language, the same requests and faults have the same results."""
    with live.client() as queue:
        play = Play(client, live_proxy, queue, f"case-{next(_NUMBERS)}")
        for step in CASES[case]:
            play.step(step)


def test_each_command_is_in_the_table() -> None:
    """A method that no case calls is not known to be the same in both languages."""
    called = {step.get("do") for steps in CASES.values() for step in steps}
    assert called >= (set(SHAPES) - {"settle"}) | {"snapshot", "wallet", "command"}
