"""Pages of metrics as the real code makes them of a service that works, or does not."""

from collections.abc import Mapping
from typing import Any, Final

from actors.supervisor.histogram import Histogram
from daemon.gateway.metrics import Metrics, Scraped

QUEUE: Final = {
    "lag": 0, "pending": 0, "oldest_ms": 0, "outbox": 3, "outbox_oldest_ms": 20, "refused": 0,
    "dead": 0, "events": 10,
}  # fmt: skip
"""A queue in which nothing waits for long."""


class NoStreams:
    """A gateway on which nobody has a stream."""

    told = dropped = 0

    def __len__(self) -> int:
        return 0


def working() -> Scraped:
    """A service of which everything works, and one actor of two is starting."""
    timed = Histogram()
    timed.add(3, 6)
    status = {
        "state": "ready", "uptime_ms": 2_500, "epoch": "3", "open_chats": 7, "in_flight": 1,
        "actors": [{"up": True, "restarts": 2}, {"up": False, "restarts": 0}],
        "actor_restarts": 2, "recorder": {"restarts": 4, "up": True, "trouble": ""},
        "latency_ms": timed.as_dict(), "lateness_ms": timed.as_dict(),
        "commands": {"start": {"ok": 5, "at_capacity": 1}},
        "work": {"replayed": 1, "commits": 6, "redecided": 0, "failed": 0},
        "credits": {
            "charged": "12.345678", "refunded": "0.000000", "topped_up": "100.000000",
            "adjusted_up": "0.000000", "adjusted_down": "0.500000",
        },
        "events": {"credits.low": 4}, "dead_letters": {"invalid_command": 1}, "active_ms": 90_500,
        "clock_steps": 1, "lease_changes": 6, "limits": {"open_chats": 100, "outbox": 1_000},
    }  # fmt: skip
    return Scraped(status, QUEUE, {"running": 7}, status)


def page_of(scraped: Scraped) -> str:
    """The page that a gateway gives of it, its own counts at zero."""
    return Metrics(NoStreams()).page(scraped).decode()


def changed(scraped: Scraped, queue: Mapping[str, int] | None = None, **status: Any) -> Scraped:
    """The same service but for this."""
    now = {**scraped.status, **status}
    return Scraped(now, {**QUEUE, **(queue or {})}, scraped.chats, now)
