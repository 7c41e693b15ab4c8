"""What a play is made of, drawn from its seed."""

import random
from typing import NamedTuple

from meterd.rules.model import AT_ZERO_END, AT_ZERO_SUSPEND, AtZero


class PlayOptions(NamedTuple):
    """What a play is made of."""

    commands: int
    actors_max: int
    at_zero: AtZero
    calm: float
    """How much of the time nothing can go wrong."""


def draw_options(rng: random.Random) -> PlayOptions:
    """The options of one seed."""
    return PlayOptions(
        commands=rng.randint(15, 25),
        actors_max=rng.randint(1, 4),
        at_zero=rng.choice([AT_ZERO_END, AT_ZERO_SUSPEND]),
        calm=rng.choice([0.0, 0.5, 0.8]),
    )
