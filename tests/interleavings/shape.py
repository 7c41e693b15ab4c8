"""What a play is like, as a whole."""

import random
from typing import NamedTuple

from meterd.rules.model import AT_ZERO_END, AT_ZERO_SUSPEND, AtZero


class Shape(NamedTuple):
    """What a play is like."""

    commands: int
    actors_max: int
    at_zero: AtZero
    calm: float
    """How much of the time nothing can go wrong."""


def shape_of(rng: random.Random) -> Shape:
    """Of chance, too."""
    return Shape(
        commands=rng.randint(15, 25),
        actors_max=rng.randint(1, 4),
        at_zero=rng.choice([AT_ZERO_END, AT_ZERO_SUSPEND]),
        calm=rng.choice([0.0, 0.5, 0.8]),
    )
