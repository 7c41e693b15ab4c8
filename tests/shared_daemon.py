"""One real daemon for all tests that need no settings of their own and break nothing of it.

A process of pytest starts it for the first such test and stops it at the end. Each daemon takes
seconds to start, and a tenth of a core as long as it is there.
"""

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from loadtests.common.live import KEYS, LiveDaemon, live_daemon

OPEN_LIMITS = {"METERD_HTTP__REQUESTS_PER_S": "100000", "METERD_HTTP__REQUESTS_BURST": "100000"}
"""So that no test is told to wait but those of the limits."""

_NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def live() -> Iterator[LiveDaemon]:
    """The daemon. Each test has users and chats of its own in it (``name``).

    It is never empty: a test that holds by itself only would fail after others, in some orders.
    """
    with live_daemon(METERD_HTTP__PORT="0", **OPEN_LIMITS) as live:
        with live.client() as client:
            client.xadd(KEYS.commands, {b"type": b"\xff", b"\xff": b"\xff"})
        live.until_handled()
        yield live


@pytest.fixture
def name() -> str:
    """A user, advisor and chat nobody had before."""
    return f"n{next(_NUMBERS)}"


@contextlib.contextmanager
def nothing_sent(live: LiveDaemon) -> Iterator[None]:
    """Assert that nobody sends a command until the block ends.

    ``settle`` may come: it is the daemon's own, for a chat that another test left running.
    """
    with live.client() as client:
        last = client.xinfo_stream(KEYS.commands)["last-generated-id"].decode()
        yield
        found: Any = client.xrange(KEYS.commands, f"({last}", "+")
    assert [fields for _, fields in found if fields.get(b"type") != b"settle"] == []
