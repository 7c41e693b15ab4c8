"""Who has a slot of a Redis Cluster: the nodes are asked, one after the other.

A node may be away, or know less than the others for a while. So each question begins with another
node, and the nodes that an answer names are asked later, too.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, NamedTuple

import redis

from meterd.sentinel_url import Address

NODES_MAX: Final = 64
"""Nodes that are remembered: those of the URL, and of the last answers."""
ASK_TIMEOUT_S: Final = 1.0
QUESTION: Final = ("CLUSTER", "SLOTS")

Ask = Callable[[Address], Any]
"""Puts ``QUESTION`` to a node."""
AskAsync = Callable[[Address], Awaitable[Any]]


class SlotMap(NamedTuple):
    """What a node has answered about one slot."""

    master: Address | None
    """None if nobody has the slot."""
    nodes: list[Address]
    """All nodes of the answer."""


def read_slots(answer: Sequence[Any], slot: int, asked: Address) -> SlotMap:
    """Read an answer of CLUSTER SLOTS of the node ``asked``: a node without a host is that one."""
    nodes: list[Address] = []
    master: Address | None = None
    for first, last, *owners in answer:
        found = [(_text(owner[0]) or asked[0], int(owner[1])) for owner in owners]
        nodes += found
        if int(first) <= slot <= int(last) and found:
            master = found[0]
    return SlotMap(master, list(dict.fromkeys(nodes)))


class ClusterNodes:
    """The nodes of a cluster, as far as they are known, and how the master of a slot is found."""

    def __init__(self, seeds: Sequence[Address], slot: int) -> None:
        """Know the nodes of the URL, ``seeds``; look for the master of ``slot``."""
        self._seeds = list(seeds)
        self._slot = slot
        self._nodes = list(seeds)

    def find(self, ask: Ask) -> Address:
        """The master, as the first node says that answers.

        Raises:
            redis.ConnectionError: no node answers, or nobody has the slot.
        """
        why = ""
        for node in self._in_turn():
            try:
                answer = ask(node)
            except (redis.RedisError, OSError) as error:
                why = str(error) or type(error).__name__
                continue
            if (master := self._take_in(answer, node)) is not None:
                return master
            why = f"nobody has slot {self._slot}"
        raise self._nobody(why)

    async def find_async(self, ask: AskAsync) -> Address:
        """The same with asyncio. Raises as ``find``."""
        why = ""
        for node in self._in_turn():
            try:
                answer = await ask(node)
            except (redis.RedisError, OSError) as error:
                why = str(error) or type(error).__name__
                continue
            if (master := self._take_in(answer, node)) is not None:
                return master
            why = f"nobody has slot {self._slot}"
        raise self._nobody(why)

    def _in_turn(self) -> list[Address]:
        """All nodes; the first one is the last one the next time."""
        nodes, self._nodes = self._nodes, [*self._nodes[1:], *self._nodes[:1]]
        return nodes

    def _take_in(self, answer: Any, node: Address) -> Address | None:
        found = read_slots(answer, self._slot, node)
        known = dict.fromkeys([*self._nodes, *found.nodes])
        gone = known.keys() - set(found.nodes) - set(self._seeds)
        self._nodes = [one for one in known if one not in gone][:NODES_MAX]
        return found.master

    def _nobody(self, why: str) -> redis.ConnectionError:
        return redis.ConnectionError(
            f"no node of the cluster says who has slot {self._slot}: {why}"
        )


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value or "")
