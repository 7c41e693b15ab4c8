"""How long things take, as counts: small, exact to a bucket, and of no size that grows."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any, Final

BUCKETS_MS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)


class Histogram:
    """How many values were at most so many milliseconds, and more than the bucket before."""

    __slots__ = ("_buckets_ms", "_counts", "_sum_ms")

    def __init__(self, buckets_ms: tuple[int, ...] = BUCKETS_MS) -> None:
        """Nothing counted yet; ``buckets_ms`` are the largest values of each bucket, ascending."""
        self._buckets_ms = buckets_ms
        self._counts = [0] * (len(buckets_ms) + 1)
        self._sum_ms = 0

    def add(self, value_ms: int, times: int = 1) -> None:
        """Count a value; what is larger than every bucket has a count of its own."""
        self._counts[bisect_left(self._buckets_ms, value_ms)] += times
        self._sum_ms += value_ms * times

    def as_dict(self) -> dict[str, Any]:
        """What the status has of it; the last of ``counts`` is of what no bucket holds."""
        return {
            "buckets_ms": list(self._buckets_ms),
            "counts": list(self._counts),
            "sum_ms": self._sum_ms,
            "count": sum(self._counts),
        }

    @property
    def counts(self) -> list[int]:
        """How many values each bucket has so far, and at last what no bucket holds."""
        return list(self._counts)


def quantile_ms(
    counts: Sequence[int], percent: int, buckets_ms: Sequence[int] = BUCKETS_MS
) -> int | None:
    """Within how many milliseconds so many of a hundred were; None if there were none.

    As Prometheus does it: values are taken to lie evenly in their bucket, and what no bucket holds
    to be as large as the largest bucket.
    """
    wanted = -(-sum(counts) * percent // 100)  # rounded up
    lower_ms = below = 0
    for bucket_ms, count in zip(buckets_ms, counts, strict=False):
        if below + count >= wanted > 0:
            return lower_ms - -(bucket_ms - lower_ms) * (wanted - below) // count
        lower_ms, below = bucket_ms, below + count
    return buckets_ms[-1] if wanted else None


def percentile(told: Mapping[str, Any], percent: int) -> str:
    """Within how long so many of a hundred were, for a person; empty if there were none."""
    wanted = -(-told["count"] * percent // 100)  # rounded up
    below = 0
    for bucket_ms, count in zip(told["buckets_ms"], told["counts"], strict=False):
        below += count
        if below >= wanted > 0:
            return f"≤ {bucket_ms} ms"
    return f"> {told['buckets_ms'][-1]} ms" if wanted else ""
