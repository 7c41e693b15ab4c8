"""One real daemon for all tests of the commands."""

import itertools
from collections.abc import Iterator

import pytest

from loadtests.common.live import LiveDaemon, live_daemon

_NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def live() -> Iterator[LiveDaemon]:
    """Each test has users and chats of its own in it."""
    with live_daemon() as live:
        yield live


@pytest.fixture
def name() -> str:
    """A user and a chat nobody had before."""
    return f"n{next(_NUMBERS)}"
