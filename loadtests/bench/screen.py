"""What a person sees while it measures and at its end."""

import sys
import time
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.table import Table

from loadtests.bench.document import TITLES
from loadtests.bench.targets import MISSED, REACHED, Row

COLOURS = {REACHED: "green", MISSED: "red"}


def teller() -> Callable[[str], None]:
    """Says what is being done, with the seconds since the beginning, on standard error."""
    began_s = time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - began_s:6.0f} s  {what}", file=sys.stderr, flush=True)

    return say


def show(rows: Sequence[Row]) -> None:
    """The table: with lines and colours at a terminal, plain lines in a pipe."""
    if sys.stdout.isatty():
        Console().print(_table(rows))
        return
    for row in rows:
        print(f"{row.what}\t{row.target}\t{row.measured}\t{row.ratio}\t{row.verdict}")


def _table(rows: Sequence[Row]) -> Table:
    table = Table(*TITLES[:-1], title="What it must reach", show_lines=True)
    for row in rows:
        colour = COLOURS.get(row.verdict, "yellow")
        table.add_row(*row[:4], f"[{colour}]{row.verdict}[/]")
    return table
