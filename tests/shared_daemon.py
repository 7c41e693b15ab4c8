"""One real daemon for all tests that need no settings of their own and break nothing of it.

A process of pytest starts it for the first such test and stops it at the end. Each daemon takes
seconds to start, and a tenth of a core as long as it is there.
"""

import contextlib
import itertools
import os
from collections.abc import Iterator
from typing import Any, Final

import pytest

from loadtests.common.live import LiveDaemon, live_daemon
from meterd.rules.partitions import partition_of
from meterd.rules.redis_keys import Keys

PARTITIONS: Final = int(os.environ.get("METERD_TEST_PARTITIONS", "1"))
"""Of the shared daemon: what its tests state holds for any number."""

OPEN_LIMITS = {"METERD_HTTP__REQUESTS_PER_S": "100000", "METERD_HTTP__REQUESTS_BURST": "100000"}
"""So that no test is told to wait but those of the limits."""

_NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def live() -> Iterator[LiveDaemon]:
    """The daemon. Each test has users and chats of its own in it (``name``).

    It is never empty: a test that holds by itself only would fail after others, in some orders.
    """
    numbered = {"METERD_PARTITIONS": str(PARTITIONS)}
    with live_daemon(METERD_HTTP__PORT="0", **OPEN_LIMITS, **numbered) as live:
        with live.client() as client:
            for number in range(PARTITIONS):
                client.xadd(Keys(number).commands, {b"type": b"\xff", b"\xff": b"\xff"})
        live.until_handled()
        yield live


def servers_of(live: LiveDaemon) -> dict[str, str]:
    """The settings of a gateway by itself that works with the shared daemon."""
    return {
        "METERD_REDIS__URL": live.redis_url,
        "METERD_POSTGRES__URL": live.postgres_url,
        "METERD_PARTITIONS": str(PARTITIONS),
    }


def keys_of(user_id: str) -> Keys:
    """The keys of the user's partition of the shared daemon."""
    return Keys(partition_of(user_id, PARTITIONS))


@pytest.fixture
def name() -> str:
    """A user, advisor and chat nobody had before."""
    return f"n{next(_NUMBERS)}"


@contextlib.contextmanager
def nothing_sent(live: LiveDaemon) -> Iterator[None]:
    """Assert that nobody sends a command until the block ends.

    ``settle`` may come: it is the daemon's own, for a chat that another test left running.
    """
    streams = [Keys(number).commands for number in range(PARTITIONS)]
    with live.client() as client:
        last = [client.xinfo_stream(one)["last-generated-id"].decode() for one in streams]
        yield
        found: list[Any] = [
            entry
            for stream, before in zip(streams, last, strict=True)
            for entry in client.xrange(stream, f"({before}", "+")
        ]
    assert [fields for _, fields in found if fields.get(b"type") != b"settle"] == []
