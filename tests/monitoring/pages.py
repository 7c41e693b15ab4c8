"""Pages of metrics as the real code makes them of a service that works, or does not."""

from collections.abc import Mapping
from typing import Any, Final

from actors.supervisor.histogram import Histogram, quantile_ms
from daemon.gateway.metrics import Metrics, Scraped
from meterd.rules.money import format_micro

QUEUE: Final = {
    "lag": 0, "pending": 2, "oldest_ms": 30, "outbox": 3, "outbox_oldest_ms": 20, "refused": 0,
    "dead": 0, "events": 10, "missing": 3, "claimed": 0, "recreated": 1,
    "unanswered": 2, "dead_dropped": 1,
}  # fmt: skip
"""A queue in which nothing waits for long."""
MEMORY: Final = {
    "used_bytes": 50_000_000, "limit_bytes": 100_000_000, "remembered_ids": 30_000,
    "reply_streams": 4, "kinds": {"ids": 4_500_000, "replies": 17_200, "dead": 0}, "log_bytes": 900,
}  # fmt: skip
"""A server that is half full."""
COMMANDS_A_MINUTE: Final = 600


class Streams:
    """A gateway that has ended some streams."""

    told = 0

    def __init__(self, dropped: int = 0) -> None:
        self.dropped = dropped

    def __len__(self) -> int:
        return 0


def working(
    minute: int = 1,
    *,
    queue: Mapping[str, int] | None = None,
    memory: Mapping[str, Any] | None = None,
    latency_ms: int = 3,
    lateness_ms: int = 3,
    **status: Any,
) -> Scraped:
    """A service that has worked for so many minutes: all is well, but for what is named."""
    handled = COMMANDS_A_MINUTE * minute
    now = {
        "state": "ready", "uptime_ms": 60_000 * minute, "epoch": "3", "open_chats": 7,
        "in_flight": 1, "actors": [_actor(True), _actor(True)], "actor_restarts": 2,
        "recorder": {"restarts": 4, "up": True, "trouble": ""},
        "commands": {"start": {"ok": handled - 1, "at_capacity": 1}},
        "latency_ms": _durations(handled, latency_ms),
        "lateness_ms": _durations(handled, lateness_ms),
        "recent": {
            "latency_p99_ms": quantile_ms(_durations(1, latency_ms)["counts"], 99),
            "lateness_p99_ms": quantile_ms(_durations(1, lateness_ms)["counts"], 99),
        },
        "work": {"replayed": 1, "commits": handled, "redecided": 0, "failed": 0},
        "credits": {
            "charged": format_micro(12_345_678 * minute), "refunded": "0.000000",
            "topped_up": "100.000000", "adjusted_up": "0.000000", "adjusted_down": "0.500000",
        },
        "events": {"credits.low": 4}, "dead_letters": {"invalid_command": 1}, "active_ms": 90_500,
        "clock_steps": 1, "lease_changes": 6, "memory": {**MEMORY, **(memory or {})},
        "limits": {
            "open_chats": 100, "outbox": 1_000, "reply_streams": 1_000, "dead_bytes": 100_000,
        },
        **status, "queue": {**QUEUE, **(queue or {})},
    }  # fmt: skip
    return Scraped(now, now["queue"], {"running": 7}, now)


def with_one_actor_down() -> dict[str, Any]:
    """Actors of which one does not work."""
    return {"actors": [_actor(True), _actor(False)]}


def _actor(is_up: bool) -> dict[str, Any]:
    return {"up": is_up, "restarts": 1, "chats": 0}


def _durations(number: int, each_ms: int) -> dict[str, Any]:
    timed = Histogram()
    timed.add(each_ms, number)
    return timed.as_dict()


def page_of(scraped: Scraped, dropped: int = 0) -> str:
    """The page that a gateway gives of it, its own counts at zero but for these streams."""
    metrics = Metrics(Streams(dropped))
    metrics.expect("/v1/chats/{chat_id}", "GET", 200)
    return metrics.page(scraped).decode()
