"""Shares the partitions out between the nodes: signs of life, whose turn it is, hand-overs."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection
from typing import Final, Protocol

import redis
import structlog

from actors.supervisor.balance import Balance, Turn, next_handover, preferred_nodes, turn_of
from persistence.redis.nodes import NodesSeen

log = structlog.get_logger()

BEATS_PER_LEASE: Final = 4
"""Signs of life in the time after which a node that gives none is taken for dead."""


LEAVE_S_MAX: Final = 0.5
"""How long a farewell may take: whoever stops has chats to finish."""


class Registry(Protocol):
    """Where nodes give signs of life."""

    async def beat(self, is_able: bool) -> NodesSeen:
        """Give one if this node can lead, and see who else does."""

    async def leave(self) -> None:
        """Be there no more."""


class NodeBalance:
    """One node's view of the others, and what follows from it."""

    def __init__(
        self,
        registry: Registry,
        own: str,
        partitions: int,
        *,
        lease_ms: int,
        settle_ms: int,
        is_able: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is known before ``look``.

        Args:
            registry: where nodes give signs of life.
            own: this node's name there.
            partitions: how many there are.
            lease_ms: a node that has given no sign of life for so long is dead.
            settle_ms: for how long the nodes have to be the same before a partition moves.
            is_able: whether this node can lead at once. One that still starts its processes is no
                node yet: it leads only what nobody else takes.
            clock: seconds that only grow.
        """
        self._registry = registry
        self._own = own
        self._partitions = partitions
        self._lease_ms = lease_ms
        self._settle_ms = settle_ms
        self._is_able = is_able
        self._clock = clock
        self._nodes: frozenset[str] = frozenset()
        self._preferred: list[str] = []
        self._changed_at = clock()
        self._handed_over_at: float | None = None
        self._is_leaving = False
        self._beating = asyncio.Lock()

    def turn(self, number: int) -> Turn:
        """When this node bids for a partition."""
        return turn_of(self._preferred, self._own, number)

    async def look(self) -> None:
        """See which nodes are alive; while Redis is away, what was known stays."""
        with contextlib.suppress(redis.RedisError):
            async with self._beating:
                if self._is_leaving:
                    return
                nodes = (await self._registry.beat(self._is_able())).alive(self._lease_ms)
            if nodes != self._nodes:
                self._nodes, self._changed_at = nodes, self._clock()
                self._preferred = preferred_nodes(self._partitions, nodes)
                log.info("nodes.changed", nodes=len(nodes), own=self._preferred.count(self._own))

    def next_handover(self, held: Collection[int]) -> int | None:
        """The partition of those ``held`` that is to go now; it counts as handed over."""
        if not self._preferred:
            return None
        now = self._clock()
        since = self._handed_over_at
        balance = Balance(
            own=self._own,
            preferred=self._preferred,
            held=held,
            unchanged_ms=int((now - self._changed_at) * 1_000),
            since_handover_ms=None if since is None else int((now - since) * 1_000),
        )
        number = next_handover(balance, self._settle_ms)
        if number is not None:
            self._handed_over_at = now
            log.info("partition.handed_over", partition=number)
        return number

    async def run_forever(
        self, held: Callable[[], Collection[int]], hand_over: Callable[[int], None]
    ) -> None:
        """Give signs of life, and hand over what others should lead."""
        while not self._is_leaving:
            await self.look()
            number = self.next_handover(held())
            if number is not None:
                hand_over(number)
            await asyncio.sleep(self._lease_ms / 1_000 / BEATS_PER_LEASE)

    async def leave(self) -> None:
        """Tell the others that this node is going: they need not leave it what it should lead."""
        self._is_leaving = True
        with contextlib.suppress(redis.RedisError, TimeoutError):
            # Behind a sign of life that is on its way: it would come after the farewell.
            async with asyncio.timeout(LEAVE_S_MAX), self._beating:
                await self._registry.leave()
