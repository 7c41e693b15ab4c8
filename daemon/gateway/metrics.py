"""What Prometheus is told: the gateway's own counts, and the service as Redis and Postgres know it.

No label names a user or a chat: there are as many of these as there are users and chats.

Every series is always there, so that an alarm can tell "none" from "not measured": a counter begins
at 0, and while its daemon can't be asked it stands still at what this gateway heard last. A gauge
that nobody can know now is NaN, of which no comparison holds; so is a counter of which this gateway
has heard nothing because Redis is away, histograms aside.
"""

import math
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

from actors.messages import INVALID_TYPE
from actors.supervisor.histogram import BUCKETS_MS
from actors.supervisor.memory_use import MEMORY_KINDS
from actors.supervisor.stats import DEAD_OUTCOMES, STAGES
from meterd.rules.commands import SHAPES
from meterd.rules.events import EVENTS
from meterd.rules.model import PAUSED, RUNNING, SUSPENDED
from meterd.rules.outcomes import MESSAGES, WRONG_PARTITION
from persistence.postgres.sizes import TABLES

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
    counted: Mapping[str, Any] | None = {}
    """The last status with counters; empty if there was none, None if nobody could be asked."""


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
        self._found: dict[tuple[str, str, int], tuple[Counter, Histogram | None]] = {}

    def expect(self, route: str, method: str, status: int) -> None:
        """Let a request be counted from 0 on: what is not there before its first can't grow."""
        self._series(route, method, status)

    def count(self, route: str, method: str, status: int, seconds: float) -> None:
        """One request has been answered."""
        requests, took = self._series(route, method, status)
        requests.inc()
        if took is not None:
            took.observe(seconds)

    def _series(self, route: str, method: str, status: int) -> tuple[Counter, Histogram | None]:
        """What counts such requests; kept, because finding it by its labels takes longer."""
        labels = route, method, status
        found = self._found.get(labels)
        if found is None:
            is_stream = route.endswith("/stream")
            requests = self._requests.labels(route, method, str(status))
            found = requests, None if is_stream else self._seconds.labels(route)
            self._found[labels] = found
        return found

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
    chats = dict.fromkeys(_OPEN, 0 if scraped.chats is not None else math.nan)
    chats |= scraped.chats or {}
    yield _labelled("chats", "Chats that are open, by status", "status", chats)
    yield from _daemon_now(scraped.status)
    yield from _daemon_counted(_Counted(scraped.counted))


_OPEN: Final = (RUNNING, PAUSED, SUSPENDED)
_QUEUE: Final = {
    "lag": ("queue_lag_entries", "Commands that nobody has read yet"),
    "pending": ("queue_pending_entries", "Commands that were read and have no effect yet"),
    "outbox": ("outbox_entries", "Commits that PostgreSQL does not have yet"),
    "refused": ("refused_entries", "Commits that PostgreSQL refused for good"),
    "dead": ("dead_letters", "Entries that were set aside"),
    "events": ("events_entries", "Events that are kept"),
}
_QUEUE_COUNTS: Final = {
    "missing": ("queue_missing", "Commands that were deleted before anybody had read them"),
    "claimed": ("queue_claimed", "Commands that another consumer of the group had read"),
    "recreated": ("queue_recreated", "How often the consumer group was gone and was made again"),
    "unanswered": ("replies_dropped", "Replies not written: there were too many reply streams"),
    "dead_dropped": ("dead_letters_dropped", "Dead letters that went: there were too many"),
}
"""Kept in Redis, ever since it has the data."""
_AGES: Final = {
    "oldest_ms": (
        "queue_oldest_age_seconds",
        "Age of the oldest command without its effect; 0 if there is none",
    ),
    "outbox_oldest_ms": (
        "outbox_oldest_age_seconds",
        "Age of the oldest commit that PostgreSQL does not have; 0 if there is none",
    ),
}


def _queue(queue: Mapping[str, int]) -> Iterator[Metric]:
    for name, (metric, about) in _QUEUE.items():
        yield _gauge(metric, about, queue.get(name, math.nan))
    for name, (metric, about) in _QUEUE_COUNTS.items():
        yield _counter(metric, about, queue.get(name, math.nan))
    for name, (metric, about) in _AGES.items():
        yield _gauge(metric, about, queue.get(name, math.nan) / 1_000)


def _daemon_now(status: Mapping[str, Any]) -> Iterator[Metric]:
    """What is so now: NaN while no daemon says it."""
    # All states, so that an alarm on `ready` being 0 has a series to look at.
    states = dict.fromkeys(STATES, 0) | {status.get("state", "down"): 1}
    yield _labelled("daemon_state", "1 for the state the daemon is in, else 0", "state", states)
    uptime_s = status.get("uptime_ms", math.nan) / 1_000
    yield _gauge("daemon_uptime_seconds", "Since the supervisor started", uptime_s)
    epoch = int(status["epoch"] or 0) if "epoch" in status else math.nan
    yield _gauge("daemon_epoch", "Under which the supervisor writes", epoch)
    for name, (metric, about) in _NOW.items():
        yield _gauge(metric, about, status.get(name, math.nan))
    memory = status.get("memory", {})
    for name, (metric, about) in _MEMORY.items():
        yield _gauge(metric, about, memory.get(name, math.nan))
    kinds = dict.fromkeys(MEMORY_KINDS, math.nan) | memory.get("kinds", {})
    yield _labelled("redis_bytes", "What a kind of data takes in Redis, about", "kind", kinds)
    limits = status.get("limits", {})
    for name, (metric, about) in _LIMITS.items():
        yield _gauge(metric, about, limits.get(name, math.nan))
    yield from _processes(status)


_NOW: Final = {
    "open_chats": ("open_chats", "Chats that actors hold"),
    "in_flight": ("in_flight_commands", "Commands on their way to actors"),
}
_MEMORY: Final = {
    "used_bytes": ("redis_used_bytes", "Memory that Redis uses, for everything in it"),
    "limit_bytes": ("redis_limit_bytes", "maxmemory of Redis; 0 without one"),
    "remembered_ids": ("remembered_ids", "Ids that are remembered"),
    "reply_streams": ("reply_streams", "Reply streams that there are"),
    "log_bytes": ("log_bytes", "Log files in METERD_HOME"),
}
_LIMITS: Final = {
    "open_chats": ("open_chats_limit", "Chats that may be open at most"),
    "outbox": ("outbox_limit_entries", "Commits that may wait for PostgreSQL at most"),
    "reply_streams": ("reply_streams_limit", "Reply streams that there may be at most"),
    "dead_bytes": ("dead_letters_limit_bytes", "Bytes that dead letters may take at most"),
}


def _processes(status: Mapping[str, Any]) -> Iterator[Metric]:
    actors = status.get("actors")
    up = sum(actor["up"] for actor in actors) if actors is not None else math.nan
    down = len(actors) - up if actors is not None else math.nan
    states = {"up": up, "down": down}
    yield _labelled("actors", "Chat actors, by whether they work", "state", states)
    recorder = status.get("recorder")
    is_up = bool(recorder.get("up")) if recorder is not None else math.nan
    is_blocked = bool(recorder.get("trouble")) if recorder is not None else math.nan
    yield _gauge("recorder_up", "Whether the recorder works", is_up)
    sizes = dict.fromkeys(TABLES, math.nan) | ((recorder or {}).get("table_bytes") or {})
    yield _labelled("postgres_bytes", "What a table takes in PostgreSQL", "table", sizes)
    yield _gauge("recorder_blocked", "Whether PostgreSQL keeps it from writing", is_blocked)


class _Counted:
    """What a daemon has counted; 0 where there was none, NaN where nobody could be asked."""

    def __init__(self, status: Mapping[str, Any] | None) -> None:
        self._status = status
        self.none = 0 if status is not None else math.nan

    def number(self, *path: str) -> float:
        """A count, or an amount of credits as a decimal string."""
        found: Any = self._status or {}
        for name in path:
            found = found.get(name, {})
        return float(found) if found != {} else self.none

    def numbers(self, name: str, keys: Iterable[str]) -> dict[str, float]:
        """Counts by key; these keys are there in any case."""
        told: Mapping[str, int] = (self._status or {}).get(name, {})
        return {**dict.fromkeys(keys, self.none), **told}

    def commands(self) -> dict[str, dict[str, float]]:
        """Counts by type and outcome, each that there may be."""
        told: Mapping[str, Mapping[str, int]] = (self._status or {}).get("commands", {})
        return {
            type_: {**dict.fromkeys(_OUTCOMES.get(type_, ()), self.none), **told.get(type_, {})}
            for type_ in {**_OUTCOMES, **told}
        }

    def histogram(self, name: str) -> Mapping[str, Any]:
        """A histogram of milliseconds. Of NaN, Prometheus would make its highest bucket."""
        counts = [0] * (len(BUCKETS_MS) + 1)
        nothing = {"buckets_ms": BUCKETS_MS, "counts": counts, "sum_ms": 0}
        found: Mapping[str, Any] = (self._status or {}).get(name, nothing)
        return found


_COUNTERS: Final = {
    ("credits", "charged"): ("credits_charged", "Credits charged for chats that ended"),
    ("credits", "refunded"): ("credits_refunded", "Credits of ended chats that were given back"),
    ("credits", "topped_up"): ("credits_topped_up", "Credits that were added to accounts"),
    ("work", "replayed"): ("replayed_commands", "Commands whose id had been used before"),
    ("work", "commits"): ("commits", "Calls of the commit function"),
    ("work", "redecided"): ("redecided_accounts", "Accounts that were decided once more"),
    ("work", "failed"): ("failed_attempts", "Attempts at an entry in which the code failed"),
    ("recorder", "restarts"): ("recorder_restarts", "Recorders that were replaced"),
    ("actor_restarts",): ("actor_restarts", "Chat actors that were replaced"),
    ("clock_steps",): ("clock_steps", "Steps of the queue's clock beyond clock.step_ms_max"),
    ("lease_changes",): ("lease_changes", "How often a supervisor has taken the lead"),
}
_HISTOGRAMS: Final = {
    "latency_ms": "From a command's entry to its effect",
    "lateness_ms": "From a due millisecond to the effect of what fell due",
}


def _daemon_counted(counted: _Counted) -> Iterator[Metric]:
    """What adds up, from the daemon's start on."""
    yield _commands(counted)
    for path, (metric, about) in _COUNTERS.items():
        yield _counter(metric, about, counted.number(*path))
    adjusted = {way: counted.number("credits", f"adjusted_{way}") for way in ("up", "down")}
    yield _counters("credits_adjusted", "Credits given or taken by hand", "direction", adjusted)
    active_s = counted.number("active_ms") / 1_000
    yield _counter("active_seconds", "Active time of chats that ended", active_s)
    events = counted.numbers("events", EVENTS)
    yield _counters("events", "Events, credits.low and credits.exhausted too", "event", events)
    dead = counted.numbers("dead_letters", DEAD_OUTCOMES)
    yield _counters("dead_lettered_entries", "Entries that were set aside", "outcome", dead)
    stages = counted.numbers("stages_ms", STAGES)
    seconds = {stage: ms / 1_000 for stage, ms in stages.items()}
    yield _counters("stage_seconds", "Where the time of commands went", "stage", seconds)
    for name, about in _HISTOGRAMS.items():
        yield _histogram(name.removesuffix("_ms"), about, counted.histogram(name))


def _commands(counted: _Counted) -> Metric:
    family = CounterMetricFamily(
        "meterd_commands", "Commands since the supervisor started", labels=("type", "outcome")
    )
    for type_, outcomes in counted.commands().items():
        for outcome, number in outcomes.items():
            family.add_metric((type_, outcome), number)
    return family


_OUTCOMES: Final[dict[str, tuple[str, ...]]] = {
    **dict.fromkeys(SHAPES, tuple(MESSAGES)),
    INVALID_TYPE: (*DEAD_OUTCOMES, WRONG_PARTITION),
}
"""What each type of command may come to."""


def _histogram(name: str, about: str, found: Mapping[str, Any]) -> Metric:
    total, buckets = 0.0, []
    bounds = [*(str(ms / 1000) for ms in found["buckets_ms"]), "+Inf"]
    for bound, number in zip(bounds, found["counts"], strict=True):
        total += number
        buckets.append((bound, total))
    family = HistogramMetricFamily(f"meterd_{name}_seconds", about)
    family.add_metric((), buckets, found["sum_ms"] / 1000)
    return family


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(f"meterd_{name}", about, value)


def _counter(name: str, about: str, value: float) -> Metric:
    return CounterMetricFamily(f"meterd_{name}", about, value)


def _counters(name: str, about: str, label: str, values: Mapping[str, float]) -> Metric:
    family = CounterMetricFamily(f"meterd_{name}", about, labels=(label,))
    for value, number in values.items():
        family.add_metric((value,), number)
    return family


def _labelled(name: str, about: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(f"meterd_{name}", about, labels=(label,))
    for value, number in values.items():
        family.add_metric((value,), number)
    return family
