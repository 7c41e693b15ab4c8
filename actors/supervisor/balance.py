"""Which node should lead which partition, and what a node hands over: no clock, no I/O.

All nodes come to the same answer from the same list of nodes: nobody has to coordinate them.
"""

import enum
import hashlib
from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

BETWEEN_MS: Final = 5_000
"""At least so long between two partitions that a node hands over."""


class Turn(enum.Enum):
    """When a node bids for a partition whose lease is free."""

    ANY = "any"
    """At once: there is one partition only, or nothing is known of other nodes."""
    FIRST = "first"
    """At once: it is the node that should lead this partition."""
    LAST = "last"
    """When nobody else has taken it: another node should."""


class Balance(NamedTuple):
    """What a node knows when it decides whether to hand a partition over."""

    own: str
    """This node."""
    preferred: Sequence[str]
    """By partition, the node that should lead it: ``preferred_nodes``."""
    held: Collection[int]
    """The partitions that this node leads, and whose supervisor works."""
    unchanged_ms: int
    """For how long the list of nodes has been as it is."""
    since_handover_ms: int | None
    """How long ago this node has handed one over; None: never."""


def preferred_nodes(partitions: int, nodes: Collection[str]) -> list[str]:
    """By partition, the node that should lead it; empty if there is no node.

    Rendezvous hashing (Thaler and Ravishankar, 1998) with bounded loads: of all pairs of a node and
    a partition, the one with the highest hash first, as long as the node has room. Each node gets
    the same number of partitions, or one more than others.
    """
    names = sorted(nodes)
    if not names:
        return []
    share, larger = divmod(partitions, len(names))
    load = dict.fromkeys(names, 0)
    found: dict[int, str] = {}
    for _, node, number in sorted(
        ((_hash(node, number), node, number) for node in names for number in range(partitions)),
        reverse=True,
    ):
        if number in found or load[node] > share or (load[node] == share and not larger):
            continue
        larger -= load[node] == share
        load[node] += 1
        found[number] = node
    return [found[number] for number in range(partitions)]


def turn_of(preferred: Sequence[str], own: str, number: int) -> Turn:
    """When the node ``own`` bids for a partition."""
    if not preferred:
        return Turn.ANY
    return Turn.FIRST if preferred[number] == own else Turn.LAST


def next_handover(balance: Balance, settle_ms: int) -> int | None:
    """The partition that the node hands over now; None if none.

    Args:
        balance: what the node knows.
        settle_ms: for how long the list of nodes has to be unchanged before anything moves.
    """
    since = balance.since_handover_ms
    if balance.unchanged_ms < settle_ms or (since is not None and since < BETWEEN_MS):
        return None
    misplaced = (n for n in sorted(balance.held) if balance.preferred[n] != balance.own)
    return next(misplaced, None)


def _hash(node: str, number: int) -> bytes:
    return hashlib.blake2b(f"{number}:{node}".encode(), digest_size=8).digest()
