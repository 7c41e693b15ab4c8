"""Moments, durations, statuses and snapshots as people read them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from daemon.console.common import print_fact

_TIMES: Final = ("as_of", "started_at", "ended_at", "updated_at", "zero_at")
_LIMITS: Final = ("idle_ms", "abandon_ms", "max_ms")
_CREDITS: Final = ("balance", "cost", "refunded", "carried_cost")
_RATES: Final = ("rate", "burn_rate")
STATUS_COLOURS: Final[Mapping[str, str]] = {
    "running": "green",
    "paused": "yellow",
    "suspended": "red",
    "ended": "blue",
}
"""The colour of a chat's status, wherever it is shown."""


def moment(at_ms: int) -> str:
    """Local time in ISO form with milliseconds, e.g. ``2026-03-01T09:30:00.125+01:00``."""
    try:
        whole = datetime.fromtimestamp(at_ms // 1000, UTC).replace(microsecond=at_ms % 1000 * 1000)
        return whole.astimezone().isoformat(timespec="milliseconds")
    except (OverflowError, ValueError, OSError):  # an entry's ID may be any number
        return f"{at_ms} ms since 1970"


def duration(ms: int) -> str:
    """Hours, minutes, seconds and milliseconds in columns, e.g. ``0:01:30.125``."""
    seconds, rest_ms = divmod(ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}.{rest_ms:03d}"


def span(ms: int) -> str:
    """A duration with its units, e.g. ``1 h 30 min``, ``2 min 0.5 s`` or ``0 s``."""
    sign, ms = ("-", -ms) if ms < 0 else ("", ms)
    minutes, rest_ms = divmod(ms, 60_000)
    hours, minutes = divmod(minutes, 60)
    seconds, rest_ms = divmod(rest_ms, 1000)
    second = f"{seconds}.{rest_ms:03d}".rstrip("0").rstrip(".") if rest_ms else str(seconds)
    parts = [f"{hours} h"] * bool(hours) + [f"{minutes} min"] * bool(minutes)
    if second != "0" or not parts:
        parts.append(f"{second} s")
    return sign + " ".join(parts)


def print_snapshot(snapshot: Mapping[str, Any]) -> None:
    """A snapshot or a record (PROTOCOL 4 and 5), line by line, without what is not there."""
    for name, value in snapshot.items():
        if value is None:
            continue
        colour = STATUS_COLOURS.get(value, "") if name == "status" else ""
        print_fact(name.removesuffix("_ms"), _readable(name, value), colour)


def _readable(name: str, value: Any) -> str:
    if name in _TIMES:
        return moment(value)
    if name in _LIMITS and value == 0:
        return "never"
    if name in _CREDITS:
        return f"{value} credits"
    if name in _RATES:
        return f"{value} credits/min"
    return span(value) if name.endswith("_ms") else str(value)
