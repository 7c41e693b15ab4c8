"""What tests of a daemon with four partitions have in common."""

import itertools
from typing import Any, Final

from loadtests.common.live import LiveDaemon
from meterd import Meter
from meterd.rules.partitions import partition_of

PARTITIONS: Final = 4


def states(daemon: LiveDaemon) -> list[str]:
    """The state of each partition that is led."""
    return [one["state"] for one in daemon.status().get("partitions", ())]


def meter_of(daemon: LiveDaemon) -> Any:
    """A client of all of the daemon's servers."""
    return Meter(daemon.redis_urls, daemon.postgres_url)


def user_of_each(prefix: str, partitions: int = PARTITIONS) -> list[str]:
    """A user of each partition, in their order."""
    found: dict[int, str] = {}
    for user in (f"{prefix}-{n}" for n in itertools.count()):
        found.setdefault(partition_of(user, partitions), user)
        if len(found) == partitions:
            return [found[number] for number in range(partitions)]
    raise AssertionError("there are users in each partition")
