"""On which node a chat actor starts, where they are spread over a cluster.

Ray takes a minute to see that a node is lost. Whoever calls its actors notices sooner, and starts
nothing there for a while.
"""

import time
from collections import Counter
from collections.abc import Callable, Collection
from typing import Final

LOST_S: Final = 30.0
"""For so long no actor starts on a node on which one was lost."""


class NodeChoice:
    """The nodes, how many actors each has, and which were lost lately."""

    def __init__(self, own: str, clock: Callable[[], float] = time.monotonic) -> None:
        """``own``: the caller's node; ``clock``: seconds that never go back."""
        self.own = own
        self._clock = clock
        self._actors: Counter[str] = Counter()
        self._lost_s: dict[str, float] = {}

    def choose(self, alive: Collection[str]) -> str:
        """The node with the fewest actors among those that are alive and were not lost lately.

        Args:
            alive: the nodes as the cluster sees them; the caller's own always counts as one.
        """
        now_s = self._clock()
        self._lost_s = {n: at_s for n, at_s in self._lost_s.items() if now_s - at_s < LOST_S}
        fit = [node for node in alive if node not in self._lost_s and node != self.own]
        # The own node comes first where several have as many: nothing has to cross the network.
        return min([self.own, *sorted(fit)], key=lambda node: self._actors[node])

    def started(self, node: str) -> None:
        """An actor starts there."""
        self._actors[node] += 1

    def ended(self, node: str) -> None:
        """An actor there was ended: it died, did not answer, or is of no more use."""
        self._actors[node] -= 1
        if node != self.own:
            self._lost_s[node] = self._clock()
