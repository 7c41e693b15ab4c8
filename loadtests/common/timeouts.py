"""How long tests and load tests wait for what has to happen."""

import os
from typing import Final

VARIABLE: Final = "METERD_TEST_TIMEOUT_SCALE"


def _scale() -> float:
    text = os.environ.get(VARIABLE) or "1"
    try:
        scale = float(text)
    except ValueError:
        scale = 0.0
    if not 0 < scale < float("inf"):
        raise ValueError(f"{VARIABLE}={text}: write a number above 0, such as 4 on a busy machine")
    return scale


SCALE: Final = _scale()
"""Every limit is this times what it is on a machine with nothing else to do."""


READY_TIMEOUT_S: Final = 180
"""For a daemon to handle commands; one that ends meanwhile is not waited for."""


def scaled(seconds: float) -> float:
    """A limit for waiting; not for what a test asserts about time."""
    return seconds * SCALE
