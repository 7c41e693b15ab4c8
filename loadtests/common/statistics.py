"""From samples to figures: rates, percentiles, medians. Plain numbers in, plain numbers out.

A histogram's classes are 2 % apart: its percentiles are at most 2 % (and a hundredth of a
millisecond) above the exact figure, and never above the highest value.
"""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

T = TypeVar("T")

PERCENTS: Final = {"p50": 50.0, "p95": 95.0, "p99": 99.0, "max": 100.0}
"""What is shown of many values."""


class ProgressSample(NamedTuple):
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


def crossing_s(samples: Sequence[ProgressSample], level: float) -> float:
    """The moment at which so much was done, by a straight line between two samples.

    Raises:
        ValueError: it never was.
    """
    before: ProgressSample | None = None
    for sample in samples:
        if sample.done >= level:
            return sample.at_s if before is None else _between(before, sample, level)
        before = sample
    raise ValueError(f"never came to {level:g}")


def _between(before: ProgressSample, after: ProgressSample, level: float) -> float:
    share = (level - before.done) / (after.done - before.done)
    return before.at_s + share * (after.at_s - before.at_s)


def rate_per_s(
    samples: Sequence[ProgressSample], total: float, first: float = 0.1, last: float = 0.9
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


_LEAST: Final = 0.01
_GROWTH: Final = 1.02
_LOG_GROWTH: Final = math.log(_GROWTH)


class LatencyHistogram:
    """Values of 0 and more, by class."""

    def __init__(self) -> None:
        """Empty."""
        self.count = 0
        self.max = 0.0
        self._classes: dict[int, int] = {}

    def add(self, value: float) -> None:
        """One more; below 0 (clocks differ) counts as 0."""
        place = _class_of(value)
        self._classes[place] = self._classes.get(place, 0) + 1
        self.count += 1
        self.max = max(self.max, value)

    def raw(self) -> dict[str, Any]:
        """All of it, for ``merge`` in another process."""
        return {"classes": {str(k): n for k, n in self._classes.items()}, "max": self.max}

    def merge(self, raw: Mapping[str, Any]) -> None:
        """Add the values of another one."""
        for place, count in raw["classes"].items():
            self._classes[int(place)] = self._classes.get(int(place), 0) + count
            self.count += count
        self.max = max(self.max, raw["max"])

    def percentile(self, percent: float) -> float:
        """The least value that so many percent do not exceed; 0 if there is none at all."""
        rank, seen = max(1, math.ceil(self.count * percent / 100)), 0
        for place in sorted(self._classes):
            seen += self._classes[place]
            if seen >= rank:
                return min(self.max, _top_of(place))
        return 0.0


def _class_of(value: float) -> int:
    return 0 if value <= _LEAST else math.ceil(math.log(value / _LEAST) / _LOG_GROWTH)


def _top_of(place: int) -> float:
    return float(_LEAST * _GROWTH**place)


def percentiles(name: str, values: LatencyHistogram) -> dict[str, float]:
    """The percentiles that are told of everything."""
    told = {f"{name}_p{p}": round(values.percentile(p), 3) for p in (50, 95, 99)}
    return {**told, f"{name}_max": round(values.max, 3)}
