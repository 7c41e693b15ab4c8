"""How often a caller may ask: a bucket of tokens each, in bounded memory."""

from collections import OrderedDict
from typing import Final, NamedTuple

CALLERS_MAX: Final = 10_000
"""Callers remembered; the one unheard longest is forgotten, and begins with a full bucket."""


class Taken(NamedTuple):
    """What became of a request for a token."""

    wait_s: float
    """0, or after how many seconds there is one."""
    left: int
    """Whole tokens left."""
    full_s: float
    """After how many seconds all are there again."""


class Buckets:
    """One bucket for each caller: so many requests at once, and so many a second."""

    def __init__(self, per_s: int, burst: int) -> None:
        """Every bucket begins full."""
        self._per_s = per_s
        self._burst = burst
        self.policy = f'"default";q={burst};w={max(1, round(burst / per_s))}'
        """As RateLimit-Policy says it: so many in so many seconds."""
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str, now_s: float) -> Taken:
        """Take one token, if there is one."""
        left, since_s = self._buckets.get(caller, (float(self._burst), now_s))
        left = min(float(self._burst), left + (now_s - since_s) * self._per_s)
        wait_s = 0.0 if left >= 1 else (1 - left) / self._per_s
        left = left if wait_s else left - 1
        self._buckets[caller] = (left, now_s)
        self._buckets.move_to_end(caller)
        if len(self._buckets) > CALLERS_MAX:
            self._buckets.popitem(last=False)
        return Taken(wait_s, int(left), (self._burst - left) / self._per_s)
