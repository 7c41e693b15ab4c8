"""Moments, durations, statuses and snapshots as people read them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import typer

_TIMES = ("as_of", "started_at", "ended_at", "updated_at", "zero_at")
STATUS_COLOURS: Final[Mapping[str, str]] = {
    "running": "green",
    "paused": "yellow",
    "suspended": "red",
    "ended": "blue",
}
"""The colour of a chat's status, wherever it is shown."""
_NAME_WIDTH = 13


def moment(at_ms: int) -> str:
    """Local time in ISO form with milliseconds, e.g. ``2026-03-01T09:30:00.125+01:00``."""
    whole = datetime.fromtimestamp(at_ms // 1000, UTC).replace(microsecond=at_ms % 1000 * 1000)
    return whole.astimezone().isoformat(timespec="milliseconds")


def duration(ms: int) -> str:
    """Hours, minutes, seconds and milliseconds, e.g. ``0:01:30.125``."""
    seconds, rest_ms = divmod(ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}.{rest_ms:03d}"


def printable(text: str) -> str:
    """Text of senders, which may be anything, without what would drive the terminal."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def print_fact(name: str, value: str, colour: str | None = None) -> None:
    """One line: a name and its value."""
    typer.echo(f"{name:{_NAME_WIDTH}} {typer.style(value, fg=colour, bold=bool(colour))}")


def print_snapshot(snapshot: Mapping[str, Any]) -> None:
    """A snapshot or a record (PROTOCOL 4 and 5), line by line, without what is not there."""
    for name, value in snapshot.items():
        if value is None:
            continue
        colour = STATUS_COLOURS.get(value) if name == "status" else None
        print_fact(name, _readable(name, value), colour)


def _readable(name: str, value: Any) -> str:
    if name in _TIMES:
        return moment(value)
    return duration(value) if name.endswith("_ms") else str(value)
