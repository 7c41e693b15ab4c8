"""From samples to figures: rates, percentiles, medians. Plain numbers in, plain numbers out."""

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeVar

T = TypeVar("T")


class Progress(NamedTuple):
    """How much was done at a moment."""

    at_s: float
    done: float


def percentile(values: Iterable[float], percent: float) -> float:
    """The smallest value that so many percent of the values do not exceed (nearest rank).

    Raises:
        ValueError: there are no values.
    """
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no values: nothing was measured")
    rank = math.ceil(percent / 100 * len(ordered))
    return ordered[min(max(rank, 1), len(ordered)) - 1]


def median(values: Iterable[float]) -> float:
    """The middle value, or the mean of both middle ones.

    Raises:
        ValueError: there are no values.
    """
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no values: nothing was measured")
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def crossing_s(samples: Sequence[Progress], level: float) -> float:
    """The moment at which so much was done, by a straight line between two samples.

    Raises:
        ValueError: it never was.
    """
    before: Progress | None = None
    for sample in samples:
        if sample.done >= level:
            return sample.at_s if before is None else _between(before, sample, level)
        before = sample
    raise ValueError(f"never came to {level:g}")


def _between(before: Progress, after: Progress, level: float) -> float:
    share = (level - before.done) / (after.done - before.done)
    return before.at_s + share * (after.at_s - before.at_s)


def rate_per_s(
    samples: Sequence[Progress], total: float, first: float = 0.1, last: float = 0.9
) -> float:
    """The pace between two shares of the total, so that neither start nor end counts.

    Raises:
        ValueError: the samples don't reach so far, or are too coarse to tell.
    """
    took_s = crossing_s(samples, last * total) - crossing_s(samples, first * total)
    if took_s <= 0:
        raise ValueError("too few samples: it was done between two of them")
    return (last - first) * total / took_s


def parts(values: Sequence[T], count: int) -> list[Sequence[T]]:
    """The values in so many parts of equal length, in order; at least one in each."""
    count = max(1, min(count, len(values)))
    cuts = [len(values) * i // count for i in range(count + 1)]
    return [values[a:b] for a, b in itertools.pairwise(cuts)]
