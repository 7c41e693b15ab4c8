"""How often a caller may ask: a bucket of tokens each, in bounded memory."""

from collections import OrderedDict
from typing import Final

CALLERS_MAX: Final = 10_000
"""Callers remembered; the one unheard longest is forgotten, and begins with a full bucket."""


class Buckets:
    """One bucket for each caller: so many requests at once, and so many a second."""

    def __init__(self, per_s: int, burst: int) -> None:
        """Every bucket begins full."""
        self._per_s = per_s
        self._burst = burst
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str, now_s: float) -> float:
        """Take one token; returns 0, or after how many seconds there is one."""
        left, since_s = self._buckets.get(caller, (float(self._burst), now_s))
        left = min(float(self._burst), left + (now_s - since_s) * self._per_s)
        wait_s = 0.0 if left >= 1 else (1 - left) / self._per_s
        self._buckets[caller] = (left if wait_s else left - 1, now_s)
        self._buckets.move_to_end(caller)
        if len(self._buckets) > CALLERS_MAX:
            self._buckets.popitem(last=False)
        return wait_s
