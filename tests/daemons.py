"""One real daemon for the tests of clients and of the gateway; each has users of its own in it."""

from collections.abc import Iterator
from typing import Final

import pytest

from loadtests.common.live import LiveDaemon, live_daemon

OPEN_LIMITS: Final = {
    "METERD_HTTP__REQUESTS_PER_S": "100000",
    "METERD_HTTP__REQUESTS_BURST": "100000",
}
"""So that no test is told to wait but those of the limits."""


@pytest.fixture(scope="session")
def live() -> Iterator[LiveDaemon]:
    """A daemon with servers and a gateway of its own."""
    with live_daemon(METERD_HTTP__PORT="0", **OPEN_LIMITS) as live:
        yield live
