"""How far it is, for whoever waits: a bar in a terminal, a line every few seconds in a pipe."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

Tell = Callable[[int, int], None]
"""Told how many rows of how many are done."""

LINE_EVERY_S: Final = 5.0


@contextmanager
def shown(console: Console, what: str) -> Iterator[Tell]:
    """Give whom to tell; on the error output."""
    if not console.is_terminal:
        yield _Lines(console, what)
        return
    columns = (
        TextColumn(what), TextColumn("{task.percentage:3.0f} %"), BarColumn(),
        TextColumn("{task.completed:,} of {task.total:,} rows, {task.fields[rate]:,}/s"),
        TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True) as progress:
        task, began_s = progress.add_task(what, total=1, rate=0), time.monotonic()

        def tell(done: int, total: int) -> None:
            rate = _rate(done, time.monotonic() - began_s)
            progress.update(task, completed=done, total=max(done, total, 1), rate=rate)

        yield tell


class _Lines:
    """Plain lines."""

    def __init__(self, console: Console, what: str) -> None:
        self._console = console
        self._what = what
        self._began_s = self._said_s = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        now_s = time.monotonic()
        if now_s - self._said_s < LINE_EVERY_S:
            return
        self._said_s = now_s
        rate = _rate(done, now_s - self._began_s)
        left_s = max(0, total - done) // max(1, rate)
        line = f"{self._what}: {done:,} of {total:,} rows, {rate:,}/s, about {left_s:,} s left"
        self._console.print(line, markup=False, soft_wrap=True)


def _rate(done: int, lasted_s: float) -> int:
    return int(done / lasted_s) if lasted_s > 0 else 0
