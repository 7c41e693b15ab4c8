"""Has the queue's clock stepped? It decides what happens when, so a jump in it moves money.

The queue's clock is compared with one that only ever goes forward, at its pace (Linux:
CLOCK_BOOTTIME, which goes on while a machine sleeps). An answer is as old as its round trip, so
each sample is an interval, and a step is only what no delay can explain. A slow drift is none: NTP
corrects clocks so.
"""

from typing import Final, NamedTuple


class ClockSample(NamedTuple):
    """What the queue's clock said between two readings of the steady one; all in ms."""

    queue_ms: int
    before_ms: int
    after_ms: int


STALE_MS: Final = 1_000
"""After so long clocks may have drifted, or been set a little, since a sample was taken."""


def better(known: ClockSample | None, found: ClockSample) -> ClockSample:
    """The sample that says more about the queue's clock now: a quick answer, unless it is old."""
    if known is None or _wait_ms(found) <= _wait_ms(known):
        return found
    is_over = found.after_ms - known.after_ms > STALE_MS or step_ms(known, found)
    return found if is_over else known


def queue_ms_at(sample: ClockSample, at_ms: int) -> int:
    """What the queue's clock says at a moment of the steady one, by a sample taken before.

    At most half of what the sample's answer took to come lies between this and the truth, if the
    clocks have kept pace since.
    """
    return sample.queue_ms + at_ms - (sample.before_ms + sample.after_ms) // 2


def _wait_ms(sample: ClockSample) -> int:
    return sample.after_ms - sample.before_ms


def step_ms(earlier: ClockSample, later: ClockSample) -> int:
    """By how much the queue's clock has jumped from one sample to the next; 0 if it need not have.

    Forward is positive, back is negative.
    """
    passed_ms = later.queue_ms - earlier.queue_ms
    least_ms = later.before_ms - earlier.after_ms
    most_ms = later.after_ms - earlier.before_ms
    if passed_ms > most_ms:
        return passed_ms - most_ms
    return min(0, passed_ms - least_ms)
