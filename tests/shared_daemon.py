"""One real daemon for all tests that need no settings of their own and break nothing of it.

A process of pytest starts it for the first such test and stops it at the end. Each daemon takes
seconds to start, and a tenth of a core as long as it is there.
"""

import itertools
from collections.abc import Iterator

import pytest

from loadtests.common.live import LiveDaemon, live_daemon

OPEN_LIMITS = {"METERD_HTTP__REQUESTS_PER_S": "100000", "METERD_HTTP__REQUESTS_BURST": "100000"}
"""So that no test is told to wait but those of the limits."""

_NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def live() -> Iterator[LiveDaemon]:
    """The daemon. Each test has users and chats of its own in it (``name``)."""
    with live_daemon(METERD_HTTP__PORT="0", **OPEN_LIMITS) as live:
        yield live


@pytest.fixture
def name() -> str:
    """A user, advisor and chat nobody had before."""
    return f"n{next(_NUMBERS)}"
