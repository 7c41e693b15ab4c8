"""The events as Redis has them beside what a reader was told, in any number of partitions."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from daemon.gateway.streams.places import place_after
from loadtests.common.live import LiveDaemon
from meterd.rules.partitions import partition_of
from meterd.rules.redis_keys import Keys
from tests.shared_daemon import PARTITIONS

Ids = dict[int, list[str]]
"""IDs of stream entries in their order, by partition."""


def stored_after(live: LiveDaemon, place: str) -> Ids:
    """The IDs of the events after a place."""
    found: Ids = {}
    with live.client() as client:
        for number, (ms, part) in enumerate(place_after(place, PARTITIONS).entries):
            entries: Any = client.xrange(Keys(number).events, f"({ms}-{part}", "+")
            if entries:
                found[number] = [entry.decode() for entry, _ in entries]
    return found


def own_id(event_id: str, user_id: str) -> str:
    """The ID in its own stream of an event of a user, out of the one that was told."""
    ms, number = place_after(event_id, PARTITIONS).entries[partition_of(user_id, PARTITIONS)]
    return f"{ms}-{number}"


def count_of(ids: Ids) -> int:
    """How many events these are."""
    return sum(map(len, ids.values()))


def received_ids(events: Iterable[Any]) -> Ids:
    """The same of events as they were told, in the order of telling."""
    found: defaultdict[int, list[str]] = defaultdict(list)
    for event in events:
        partition = partition_of(event["user_id"], PARTITIONS)
        found[partition].append(own_id(event["id"], event["user_id"]))
    return dict(found)
