"""How often Python looks for circles of objects that nobody needs.

An actor keeps many thousands of small immutable objects for hours. At Python's own thresholds the
collector walks them again and again and finds nothing: that took a tenth of an actor's time (see
docs/performance.md). What a batch leaves behind goes by reference counts; circles are rare.
"""

import gc
from typing import Final

YOUNG_MAX: Final = 50_000
"""New objects before the young ones are looked at; a batch of a thousand commands makes fewer."""


def tune_gc() -> None:
    """Leave what is there by now out of all looks, and look seldom at what comes."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_MAX, 20, 100)
