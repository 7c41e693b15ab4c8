"""Seeds that are new in every run, and printed, since they stand in the names of tests."""

import os
import random


def new_seeds(what: str, count: int, bits: int = 24) -> list[int]:
    """So many seeds for ``what``; processes that run parts of one test run agree on them."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    dice = random.Random(f"{run}-{what}" if run else None)
    return [dice.getrandbits(bits) for _ in range(count)]
