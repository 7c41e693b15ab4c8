"""How far a run is: in place at a terminal, a line every few seconds in a pipe; standard error."""

import sys
import time
from typing import Final

from loadtests.load.figures import RunFigures
from loadtests.load.run import LoadRun

EVERY_S: Final = {True: 1.0, False: 5.0}
"""At a terminal, and in a pipe."""


def opening_line(open_chats: int, wanted: int) -> str:
    """While chats are being opened."""
    return f"opening   {open_chats:,} of {wanted:,} chats open"


def measured_line(figures: RunFigures, at_s: float, lasts_s: float, open_chats: int) -> str:
    """While it is measured, of the time since the last such line."""
    now = figures.take_window(at_s)
    return (
        f"measured  {min(at_s, lasts_s):.0f} of {lasts_s:.0f} s  {open_chats:,} open  "
        f"{now['throughput_per_s']:,.0f}/s  p50 {now['latency_ms_p50']:.1f} ms  "
        f"p99 {now['latency_ms_p99']:.1f} ms  {figures.all_commands.failures:,} failures"
    )


class ProgressLine:
    """Says where the run is, now and then."""

    def __init__(self) -> None:
        """Nothing was said yet."""
        self._is_terminal = sys.stderr.isatty()
        self._every_s = EVERY_S[self._is_terminal]
        self._said_s = 0.0
        self._width = 0

    def look(self, run: LoadRun) -> None:
        """Say how it goes, if it is time."""
        if time.monotonic() - self._said_s >= self._every_s:
            self._said_s = time.monotonic()
            self._say(_line(run), stays=False)

    def say(self, text: str) -> None:
        """Say what happens now."""
        self._say(text, stays=True)

    def _say(self, line: str, *, stays: bool) -> None:
        begin, end = ("\r", "\n" if stays else "") if self._is_terminal else ("", "\n")
        sys.stderr.write(f"{begin}{line.ljust(self._width)}{end}")
        sys.stderr.flush()
        self._width = len(line) if self._is_terminal and not stays else 0


def _line(run: LoadRun) -> str:
    if not run.schedule.measured_from_s:
        return opening_line(run.open_chats, run.options.chats)
    return measured_line(
        run.figures, run.schedule.elapsed_s(), run.options.duration, run.open_chats
    )
