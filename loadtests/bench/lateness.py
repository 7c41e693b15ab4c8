"""Not there yet."""

from loadtests.bench.figures import Figures
from loadtests.bench.plan import Plan


def measure(plan: Plan, figures: Figures) -> None:
    """Not there yet."""
    raise NotImplementedError
