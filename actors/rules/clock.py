"""Has the queue's clock stepped? It decides what happens when, so a jump in it moves money.

The queue's clock is compared with one that only ever goes forward, at its pace (Linux:
CLOCK_BOOTTIME, which goes on while a machine sleeps). An answer is as old as its round trip, so
each sample is an interval, and a step is only what no delay can explain. A slow drift is none: NTP
corrects clocks so.
"""

from typing import NamedTuple


class Sample(NamedTuple):
    """What the queue's clock said between two readings of the steady one; all in ms."""

    queue_ms: int
    before_ms: int
    after_ms: int


def step_ms(earlier: Sample, later: Sample) -> int:
    """By how much the queue's clock has jumped from one sample to the next; 0 if it need not have.

    Forward is positive, back is negative.
    """
    passed_ms = later.queue_ms - earlier.queue_ms
    least_ms = later.before_ms - earlier.after_ms
    most_ms = later.after_ms - earlier.before_ms
    if passed_ms > most_ms:
        return passed_ms - most_ms
    return min(0, passed_ms - least_ms)
