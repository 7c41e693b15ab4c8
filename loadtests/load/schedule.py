"""The phase, the pace and the clock of a run: what all its users agree on."""

import time
from enum import StrEnum, auto

from loadtests.load.load_profiles import Profile, mean_level
from loadtests.load.options import LoadOptions
from loadtests.load.rate_limiter import RateLimiter


class Phase(StrEnum):
    """What a run is at; in this order."""

    OPENING = auto()
    MEASURED = auto()
    FINISHING = auto()
    OVER = auto()


class Schedule:
    """When commands may be sent, how many a second, and for how long."""

    def __init__(self, options: LoadOptions, profile: Profile) -> None:
        """Chats are being opened.

        Args:
            options: what is asked for.
            profile: how the load moves while it is measured.
        """
        self._options = options
        self._profile = profile
        self._measured_from = 0.0
        self.phase = Phase.OPENING
        self.problems: list[str] = []
        self.is_cut_short = False
        self.measured_from_s = self.measured_to_s = 0.0
        """Seconds since 1970; 0 if nothing was measured."""
        self.opening_limiter = RateLimiter(lambda: float(options.start_rate))
        self.limiter = self._new_limiter()

    def level(self) -> float:
        """What the profile asks for now, of what the options ask for."""
        return self._profile(self.elapsed_s(), self._options.duration)

    def elapsed_s(self) -> float:
        """Since the measured phase began."""
        return time.monotonic() - self._measured_from

    def left_s(self) -> float:
        """Until nothing may be sent any more: whoever waits for a later moment waits in vain."""
        return max(0.0, self._options.duration - self.elapsed_s())

    def is_measuring(self) -> bool:
        """Whether commands may still be sent."""
        is_on = self.phase == Phase.MEASURED and not self.is_cut_short
        return is_on and self.elapsed_s() < self._options.duration

    @property
    def is_over(self) -> bool:
        """Whether nothing is sent any more."""
        return self.phase == Phase.OVER

    @property
    def asked_per_s(self) -> float:
        """Commands a second that the options ask for on average; 0: as fast as it goes."""
        return self._options.rate * mean_level(self._profile, self._options.duration)

    @property
    def measured_s(self) -> float:
        """How long it was measured."""
        return max(0.0, self.measured_to_s - self.measured_from_s)

    def begin(self) -> None:
        """All chats are open: the measured phase begins."""
        self.measured_from_s, self._measured_from = time.time(), time.monotonic()
        self.limiter = self._new_limiter()
        self.phase = Phase.MEASURED

    def finish(self) -> bool:
        """No more commands are sent. Whether there was a measured phase, which is over now."""
        was_measured = self.phase == Phase.MEASURED
        self.phase = Phase.FINISHING
        if was_measured:
            lasted_s = min(self.elapsed_s(), self._options.duration)
            self.measured_to_s = self.measured_from_s + lasted_s
        return was_measured

    def end(self) -> None:
        """What was in flight has come back."""
        self.phase = Phase.OVER

    def give_up(self, why: str) -> None:
        """Something is so wrong that going on makes no sense; the next tick ends it."""
        if not self.is_cut_short:
            self.problems.append(why)
        self.is_cut_short = True

    def _new_limiter(self) -> RateLimiter:
        """One that has nothing to catch up."""
        return RateLimiter(lambda: self._options.rate * self.level())
