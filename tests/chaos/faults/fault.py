"""What a fault is."""

import random
from collections.abc import Callable
from typing import NamedTuple

from tests.chaos.environment import ChaosEnvironment

Heal = Callable[[], None]


class NothingThereError(Exception):
    """There is nothing to strike at the moment, such as no spare."""


class Blow(NamedTuple):
    """What was struck, and how to fix what does not fix itself."""

    heal: Heal
    kills: int = 0
    what: str = ""


class Fault(NamedTuple):
    """One way to break something."""

    name: str
    strike: Callable[[ChaosEnvironment, random.Random], Blow]
    hold_s: tuple[float, float] = (0.0, 0.0)
    """Between blow and fix, at least and at most."""
    weight: int = 2
    settle_s: float = 0.5
    """After the fix, how long its consequences may take to show."""
    alone: bool = False
    """Whether it needs everything else well while it is struck."""


def nothing() -> None:
    """The way to fix what the daemon has to fix alone."""
