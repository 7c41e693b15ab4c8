"""What a fault is."""

import random
from collections.abc import Callable
from typing import NamedTuple

from tests.chaos.environment import ChaosEnvironment

Heal = Callable[[], None]


class NothingThereError(Exception):
    """There is nothing to strike at the moment, such as no spare."""


class Blow(NamedTuple):
    """What was struck, and how to mend what does not mend itself."""

    heal: Heal
    kills: int = 0
    what: str = ""


class Fault(NamedTuple):
    """One way to break something."""

    name: str
    strike: Callable[[ChaosEnvironment, random.Random], Blow]
    hold_s: tuple[float, float] = (0.0, 0.0)
    """Between blow and mending, at least and at most."""
    weight: int = 2
    settle_s: float = 0.5
    """After the mending, how long its consequences may take to show."""
    alone: bool = False
    """Whether it needs everything else well while it is struck."""


def nothing() -> None:
    """The way to mend what the daemon has to mend alone."""
