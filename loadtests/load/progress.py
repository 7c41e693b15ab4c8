"""How far a run is: in place at a terminal, a line every few seconds in a pipe; standard error."""

import sys
import time
from typing import TYPE_CHECKING, Final

from loadtests.load.figures import Second

if TYPE_CHECKING:
    from loadtests.load.run import Run

EVERY_S: Final = {True: 1.0, False: 5.0}
"""At a terminal, and in a pipe."""


def opening_line(open_chats: int, wanted: int) -> str:
    """While chats are being opened."""
    return f"opening   {open_chats:,} of {wanted:,} chats open"


def measured_line(series: list[Second], lasts_s: float, every_s: float) -> str:
    """While it is measured, of the last few seconds."""
    recent = [s for s in series if s.at_s > series[-1].at_s - every_s] if series else []
    if not recent:
        return "measured  begins"
    last = recent[-1]
    rate = sum(s.commands_per_s for s in recent) / len(recent)
    return (
        f"measured  {last.at_s:.0f} of {lasts_s:.0f} s  {last.open_chats:,} open  {rate:,.0f}/s  "
        f"p50 {max(s.latency_ms_p50 for s in recent):.1f} ms  "
        f"p99 {max(s.latency_ms_p99 for s in recent):.1f} ms  "
        f"{sum(s.failures for s in series):,} failures"
    )


class Progress:
    """Says where the run is, now and then."""

    def __init__(self) -> None:
        """Nothing was said yet."""
        self._is_terminal = sys.stderr.isatty()
        self._every_s = EVERY_S[self._is_terminal]
        self._said_s = 0.0
        self._width = 0

    def look(self, run: "Run") -> None:
        """Say how it goes, if it is time."""
        if time.monotonic() - self._said_s >= self._every_s:
            self._said_s = time.monotonic()
            self._say(_line(run, self._every_s), stays=False)

    def say(self, text: str) -> None:
        """Say what happens now."""
        self._say(text, stays=True)

    def _say(self, line: str, *, stays: bool) -> None:
        begin, end = ("\r", "\n" if stays else "") if self._is_terminal else ("", "\n")
        sys.stderr.write(f"{begin}{line.ljust(self._width)}{end}")
        sys.stderr.flush()
        self._width = len(line) if self._is_terminal and not stays else 0


def _line(run: "Run", every_s: float) -> str:
    if not run.measured_from_s:
        return opening_line(run.open_chats, run.wish.chats)
    return measured_line(run.figures.series, run.wish.duration, every_s)
