"""Statuses and snapshots as people read them."""

from collections.abc import Mapping
from typing import Any, Final

from daemon.console.common import print_fact
from daemon.console.units import moment, span

__all__ = ["STATUS_COLOURS", "moment", "print_snapshot"]

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


def print_snapshot(snapshot: Mapping[str, Any]) -> None:
    """A snapshot or a record (PROTOCOL 4 and 5), line by line, without what is not there."""
    for name, value in snapshot.items():
        if value is None:
            continue
        colour = STATUS_COLOURS.get(value, "") if name == "status" else ""
        print_fact(name.removesuffix("_ms"), _readable(name, value), colour)


def _readable(name: str, value: Any) -> str:
    if name in _TIMES and isinstance(value, int):
        return moment(value)
    if name in _LIMITS and value == 0:
        return "never"
    if name in _CREDITS:
        return f"{value} credits"
    if name in _RATES:
        return f"{value} credits/min"
    return span(value) if name.endswith("_ms") and isinstance(value, int) else str(value)
