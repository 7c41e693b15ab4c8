"""What Prometheus is told: the gateway's own counts, and the service as Redis and Postgres know it.

No label names a user or a chat: there are as many of these as there are users and chats.
"""

from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from typing import Any, Final, NamedTuple, Protocol

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from meterd.rules.model import PAUSED, RUNNING, SUSPENDED

disable_created_metrics()  # type: ignore[no-untyped-call]  # a series more for each, which nobody reads

STATES: Final = (
    "starting", "recovering", "ready", "degraded", "held", "lost", "standby", "stopping", "down",
)  # fmt: skip
"""Every state that a daemon says of itself, and `down` where none does."""
CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
_BUCKETS_S: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Streaming(Protocol):
    """What is counted of the streams."""

    told: int
    dropped: int

    def __len__(self) -> int: ...


class Scraped(NamedTuple):
    """The service at one moment, as far as it could be asked."""

    status: Mapping[str, Any]
    """What the daemon said of itself last; empty if none is alive."""
    queue: Mapping[str, int] | None
    """Lengths in Redis; None while it is away."""
    chats: Mapping[str, int] | None
    """Open chats by status; None while Postgres is away."""


class Metrics:
    """Counts requests, and puts everything in Prometheus's form."""

    def __init__(self, streams: Streaming) -> None:
        """Counts begin at zero."""
        self._streams = streams
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = Counter(
            "meterd_gateway_requests",
            "Requests answered, by route, method and status",
            ("route", "method", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "meterd_gateway_request_seconds",
            "From a request to the end of its answer, streams aside",
            ("route",),
            buckets=_BUCKETS_S,
            registry=self._registry,
        )

    def count(self, route: str, method: str, status: int, seconds: float) -> None:
        """One request has been answered."""
        self._requests.labels(route, method, str(status)).inc()
        if not route.endswith("/stream"):
            self._seconds.labels(route).observe(seconds)

    def page(self, scraped: Scraped) -> bytes:
        """All metrics as text."""
        return generate_latest(_All(self._registry, self._own_and(scraped)))

    def _own_and(self, scraped: Scraped) -> Iterator[Metric]:
        yield _labelled(
            "build_info", "1; its label is the version", "version", {metadata.version("meterd"): 1}
        )
        yield _gauge("gateway_streams", "Streams that are open here", len(self._streams))
        yield _counter("gateway_stream_messages", "Messages handed to streams", self._streams.told)
        yield _counter(
            "gateway_streams_dropped", "Streams ended: slow readers", self._streams.dropped
        )
        yield from service(scraped)


class _All(CollectorRegistry):
    """The registry and what is known only now."""

    def __init__(self, registry: CollectorRegistry, more: Iterable[Metric]) -> None:
        super().__init__()
        self._parts = (registry, more)

    def collect(self) -> Iterator[Metric]:
        registry, more = self._parts
        yield from registry.collect()
        yield from more


def service(scraped: Scraped) -> Iterator[Metric]:
    """The service: queue, commands, chats, actors, servers."""
    yield _gauge("redis_up", "Whether Redis answers", int(scraped.queue is not None))
    yield _gauge("postgres_up", "Whether PostgreSQL answers", int(scraped.chats is not None))
    yield from _queue(scraped.queue or {})
    if scraped.chats is not None:
        chats = dict.fromkeys(_OPEN, 0) | dict(scraped.chats)
        yield _labelled("chats", "Chats that are open, by status", "status", chats)
    yield from _daemon(scraped.status)


_OPEN: Final = (RUNNING, PAUSED, SUSPENDED)
_QUEUE: Final = {
    "lag": ("queue_lag_entries", "Commands that nobody has read yet"),
    "pending": ("queue_pending_entries", "Commands that were read and have no effect yet"),
    "outbox": ("outbox_entries", "Commits that PostgreSQL does not have yet"),
    "refused": ("refused_entries", "Commits that PostgreSQL refused for good"),
    "dead": ("dead_letters", "Entries that were set aside"),
    "events": ("events_entries", "Events that are kept"),
}


def _queue(queue: Mapping[str, int]) -> Iterator[Metric]:
    for name, (metric, about) in _QUEUE.items():
        if name in queue:
            yield _gauge(metric, about, queue[name])
    if "oldest_ms" in queue:
        about = "Age of the oldest command without its effect; 0 if there is none"
        yield _gauge("queue_oldest_age_seconds", about, queue["oldest_ms"] / 1000)


def _daemon(status: Mapping[str, Any]) -> Iterator[Metric]:
    # All states, so that an alarm on `ready` being 0 has a series to look at.
    states = dict.fromkeys(STATES, 0) | {status.get("state", "down"): 1}
    yield _labelled("daemon_state", "1 for the state the daemon is in, else 0", "state", states)
    if "uptime_ms" not in status:
        return
    uptime_s = status["uptime_ms"] / 1000
    yield _gauge("daemon_uptime_seconds", "Since the supervisor started", uptime_s)
    yield _gauge("daemon_epoch", "Under which the supervisor writes", int(status["epoch"] or 0))
    yield _gauge("open_chats", "Chats that actors hold", status["open_chats"])
    yield _gauge("in_flight_commands", "Commands on their way to actors", status["in_flight"])
    yield from _actors(status["actors"])
    yield _commands(status.get("commands", {}))
    for name, about in _HISTOGRAMS.items():
        if name in status:
            yield _histogram(name.removesuffix("_ms"), about, status[name])
    yield _counter(
        "recorder_restarts", "Recorders that were started anew", status["recorder"]["restarts"]
    )


_HISTOGRAMS: Final = {
    "latency_ms": "From a command's entry to its effect",
    "lateness_ms": "From a due millisecond to the effect of what fell due",
}


def _actors(actors: list[dict[str, Any]]) -> Iterator[Metric]:
    up = sum(actor["up"] for actor in actors)
    states = {"up": up, "down": len(actors) - up}
    yield _labelled("actors", "Chat actors, by whether they work", "state", states)
    restarts = sum(actor["restarts"] for actor in actors)
    yield _gauge("actor_restarts", "How often the actors of now were started anew", restarts)


def _commands(commands: Mapping[str, Mapping[str, int]]) -> Metric:
    family = CounterMetricFamily(
        "meterd_commands", "Commands since the supervisor started", labels=("type", "outcome")
    )
    for type_, outcomes in commands.items():
        for outcome, number in outcomes.items():
            family.add_metric((type_, outcome), number)
    return family


def _histogram(name: str, about: str, found: Mapping[str, Any]) -> Metric:
    total, buckets = 0, []
    bounds = [*(str(ms / 1000) for ms in found["buckets_ms"]), "+Inf"]
    for bound, number in zip(bounds, found["counts"], strict=True):
        total += number
        buckets.append((bound, float(total)))
    family = HistogramMetricFamily(f"meterd_{name}_seconds", about)
    family.add_metric((), buckets, found["sum_ms"] / 1000)
    return family


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(f"meterd_{name}", about, value)


def _counter(name: str, about: str, value: float) -> Metric:
    return CounterMetricFamily(f"meterd_{name}", about, value)


def _labelled(name: str, about: str, label: str, values: Mapping[str, int]) -> Metric:
    family = GaugeMetricFamily(f"meterd_{name}", about, labels=(label,))
    for value, number in values.items():
        family.add_metric((value,), number)
    return family
