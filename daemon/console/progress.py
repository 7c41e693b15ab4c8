"""How far a long command is: a bar in a terminal, a line every few seconds in a pipe."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from rich.console import Console

LINE_EVERY_S: Final = 5.0
DRAW_EVERY_S: Final = 0.1


class Report(Protocol):
    """Called with every step; most calls cost a comparison and print nothing."""

    def __call__(self, done: int, total: int | None = None, phase: str = "") -> None:
        """So much is ``done`` of ``total`` (None: not known), in this ``phase`` of the command."""


@contextmanager
def progress(
    console: "Console", name: str, unit: str, note: Callable[[], str] = str
) -> Iterator[Report]:
    """Give the function to report with.

    Args:
        console: where to; usually the error output.
        name: what is being done.
        unit: of what ``done`` and ``total`` count, in the plural.
        note: what else to show; called when something is shown.
    """
    if not console.is_terminal:
        yield _Throttled(LINE_EVERY_S, _Lines(console, name, unit, note).show)
        return
    from rich.progress import (  # noqa: PLC0415 - a pipe need not wait for it
        BarColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False), BarColumn(),
        TextColumn("{task.fields[counts]}", markup=False), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True) as bar:
        task, began_s = bar.add_task(name, total=None, counts=""), time.monotonic()

        def show(done: int, total: int | None, phase: str) -> None:
            rate = _rate(done, time.monotonic() - began_s)
            counts = ", ".join(filter(None, (_counts(done, total, unit), f"{rate:,}/s", note())))
            most = None if total is None else max(done, total, 1)
            described = _described(name, phase)
            bar.update(task, description=described, completed=done, total=most, counts=counts)

        yield _Throttled(DRAW_EVERY_S, show, first=True)


class _Throttled:
    """Passes on one call in a while; where the phase is drawn, each that begins a new one."""

    def __init__(
        self, every_s: float, show: Callable[[int, int | None, str], None], first: bool = False
    ) -> None:
        self._every_s = every_s
        self._show = show
        self._draws_phases = first
        self._phase = ""
        self._shown_s = -every_s if first else time.monotonic()

    def __call__(self, done: int, total: int | None = None, phase: str = "") -> None:
        now_s = time.monotonic()
        is_new = self._draws_phases and phase != self._phase
        if is_new or now_s - self._shown_s >= self._every_s:
            self._shown_s, self._phase = now_s, phase
            self._show(done, total, phase)


class _Lines:
    """Plain lines."""

    def __init__(self, console: "Console", name: str, unit: str, note: Callable[[], str]) -> None:
        self._console = console
        self._name = name
        self._unit = unit
        self._note = note
        self._began_s = time.monotonic()

    def show(self, done: int, total: int | None, phase: str) -> None:
        rate = _rate(done, time.monotonic() - self._began_s)
        parts = [_counts(done, total, self._unit), f"{rate:,}/s"]
        if total is not None:
            parts.append(f"about {max(0, total - done) // max(1, rate):,} s left")
        text = ", ".join(filter(None, (*parts, self._note())))
        line = f"{_described(self._name, phase)}: {text}"
        self._console.print(line, markup=False, soft_wrap=True)


def _described(name: str, phase: str) -> str:
    return f"{name}, {phase}" if phase else name


def _counts(done: int, total: int | None, unit: str) -> str:
    return f"{done:,} {unit}" if total is None else f"{done:,} of {total:,} {unit}"


def _rate(done: int, lasted_s: float) -> int:
    return int(done / lasted_s) if lasted_s > 0 else 0
