"""How far an audit is, for whoever waits for it: on the error output, and seldom."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from daemon.audit.differences import Findings

LINE_EVERY_S: Final = 5.0
_LOOK_EVERY_CALLS: Final = 500

Advance = Callable[[str], None]


def told_so_far(findings: Findings) -> str:
    """What was looked at, in one line."""
    return (
        f"{findings.users:,} users, {findings.chats:,} chats, {findings.entries:,} entries, "
        f"{findings.differences:,} differences"
    )


@contextmanager
def shown(console: Console, findings: Findings, entries: int | None) -> Iterator[Advance]:
    """A bar in a terminal, a line now and then in a pipe.

    Args:
        console: where to; the error output.
        findings: what is counted.
        entries: about how many entries there are, if that is known.
    """
    if not console.is_terminal:
        yield _Lines(console, findings)
        return
    columns = (
        TextColumn("{task.description:17}"), BarColumn(), MofNCompleteColumn(),
        TextColumn("entries, {task.fields[differences]} differences"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("users", total=entries, differences=0)

        def look(phase: str) -> None:
            told = {"completed": findings.entries, "differences": findings.differences}
            progress.update(task, description=phase, **told)  # type: ignore[arg-type]

        yield seldom(look)


def seldom(look: Advance) -> Advance:
    """Pass on one call in many, and each that begins a new phase."""
    calls, last = 0, ""

    def advance(phase: str) -> None:
        nonlocal calls, last
        calls += 1
        if phase != last or calls % _LOOK_EVERY_CALLS == 0:
            last = phase
            look(phase)

    return advance


class _Lines:
    """Plain lines, every few seconds."""

    def __init__(self, console: Console, findings: Findings) -> None:
        self._console = console
        self._findings = findings
        self._said_s = time.monotonic()
        self._seldom = seldom(self._look)

    def __call__(self, phase: str) -> None:
        self._seldom(phase)

    def _look(self, phase: str) -> None:
        if time.monotonic() - self._said_s >= LINE_EVERY_S:
            self._said_s = time.monotonic()
            line = f"audit, {phase}: {told_so_far(self._findings)}"
            self._console.print(line, markup=False, soft_wrap=True)
