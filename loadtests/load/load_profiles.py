"""How the load moves while it is measured: a level from 0 to 1 of what the options ask for.

The level is taken of the commands a second; as fast as it goes (``--rate 0``), of the commands in
flight. All chats are open all the time.
"""

import math
from collections.abc import Callable
from typing import Final

RAMP_FROM: Final = 0.1
SPIKE_REST: Final = 0.25
SPIKE_FROM: Final = 0.4
SPIKE_TO: Final = 0.6
SOAK_LOW: Final = 0.5
SOAK_PERIOD_S: Final = 600.0

Profile = Callable[[float, float], float]


def steady(_at_s: float, _lasts_s: float) -> float:
    """All of it, from the beginning to the end."""
    return 1.0


def ramp(at_s: float, lasts_s: float) -> float:
    """From a tenth to all of it, evenly."""
    return RAMP_FROM + (1.0 - RAMP_FROM) * _share(at_s, lasts_s)


def spike(at_s: float, lasts_s: float) -> float:
    """A quarter of it; all of it in the middle fifth of the time."""
    return 1.0 if SPIKE_FROM <= _share(at_s, lasts_s) < SPIKE_TO else SPIKE_REST


def soak(at_s: float, _lasts_s: float) -> float:
    """Between half and all of it, up and down every ten minutes; for hours."""
    wave = math.sin(2.0 * math.pi * at_s / SOAK_PERIOD_S)
    return SOAK_LOW + (1.0 - SOAK_LOW) * (1.0 + wave) / 2.0


PROFILES: Final[dict[str, Profile]] = {"steady": steady, "ramp": ramp, "spike": spike, "soak": soak}


def mean_level(level: Profile, lasts_s: float, steps: int = 1_000) -> float:
    """What a shape asks for on average."""
    return sum(level((n + 0.5) / steps * lasts_s, lasts_s) for n in range(steps)) / steps


def _share(at_s: float, lasts_s: float) -> float:
    return min(1.0, max(0.0, at_s / lasts_s)) if lasts_s > 0 else 1.0
