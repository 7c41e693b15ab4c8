"""Every alarm, once: as Prometheus has it (deploy/prometheus/) and as a status shows it.

A status says at once what is so now; Prometheus waits for ``for_`` first, so that what passes by
itself wakes nobody.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple

Status = Mapping[str, Any]
Severity = Literal["critical", "warning"]

QUEUE_OLDEST_S_MAX: Final = 10
OUTBOX_OLDEST_S_MAX: Final = 60
FILLED_PERCENT_MAX: Final = 80
"""Of what has a limit: open chats, commits that wait for PostgreSQL."""
IDS_PERCENT_MAX: Final = 50
"""Of the memory of Redis: they can't be forgotten early, so somebody has to give it more."""
LATENCY_MS_MAX: Final = 1_000
RESTARTS_MAX: Final = 3


class Alarm(NamedTuple):
    """One alarm."""

    name: str
    severity: Severity
    expr: str
    """For Prometheus. Every gateway tells the same of the service: the highest counts."""
    for_: str
    """How long it has to be so for Prometheus."""
    summary: str
    runbook: str
    """The heading in docs/operations.md, as its anchor."""
    tile: str | None = None
    """The figure of a status, or the series of its history, that it is about."""
    holds: Callable[[Status], bool] | None = None
    """Whether it is so, by a status; None where a status can't say it."""


def _state(status: Status) -> str:
    return str(status.get("state", "down"))


def _queue(status: Status, name: str) -> int:
    return int((status.get("queue") or {}).get(name) or 0)


def _recent(status: Status, name: str) -> int:
    return int((status.get("recent") or {}).get(name) or 0)


def _memory(status: Status) -> Mapping[str, Any]:
    return status.get("memory") or {}


def _is_memory_over(status: Status, used: int, percent: int) -> bool:
    limit = int(_memory(status).get("limit_bytes") or 0)
    return limit > 0 and used * 100 > limit * percent


def _is_full(number: int, status: Status, limit: str) -> bool:
    most = int((status.get("limits") or {}).get(limit) or 0)
    return most > 0 and number * 100 > most * FILLED_PERCENT_MAX


def _is_missed(actor: Mapping[str, Any]) -> bool:
    """Whether an actor is down, and not just one for chats to come that is about to start."""
    return not actor["up"] and bool(actor["restarts"] or actor["chats"])


def _quantile(name: str) -> str:
    buckets = f"max by (le) (rate(meterd_{name}_seconds_bucket[5m]))"
    return f"histogram_quantile(0.99, {buckets}) > {LATENCY_MS_MAX // 1_000}"


def _memory_over(used: str, percent: int) -> str:
    # Both sides are 0 or more, so that a limit of 0, which is none, has to be left out.
    limit = "max(meterd_redis_limit_bytes)"
    return f"max(meterd_{used}) > {percent / 100:g} * ({limit} > 0)"


def _filled(used: str, limit: str) -> str:
    return f"max(meterd_{used}) > {FILLED_PERCENT_MAX / 100:g} * max(meterd_{limit})"


ALARMS: Final = (
    Alarm(
        name="MeterdNotWatched",
        severity="critical",
        expr='absent(up{job="meterd"} == 1)',
        for_="1m",
        summary="no gateway answers: nothing is known of meterd, and nobody can read or send over "
        "HTTP",
        runbook="the-gateway",
    ),
    Alarm(
        name="MeterdNotReady",
        severity="critical",
        expr='max(meterd_daemon_state{state="ready"}) < 1',
        for_="1m",
        summary="commands are not being handled; they wait in the queue",
        runbook="start-and-stop",
        tile="state",
        holds=lambda status: _state(status) != "ready",
    ),
    Alarm(
        name="MeterdClockHeld",
        severity="critical",
        expr='max(meterd_daemon_state{state="held"}) > 0',
        for_="0m",
        summary="the queue's clock has stepped, or an entry is ahead of it: nothing is decided "
        "until somebody has looked",
        runbook="the-clock",
        tile="state",
        holds=lambda status: _state(status) == "held",
    ),
    Alarm(
        name="MeterdStateLost",
        severity="critical",
        expr='max(meterd_daemon_state{state="lost"}) > 0',
        for_="0m",
        summary="Redis or PostgreSQL has lost state: nothing is billed until it is rebuilt",
        runbook="when-redis-or-postgresql-has-lost-state",
        tile="state",
        holds=lambda status: _state(status) == "lost",
    ),
    Alarm(
        name="MeterdRedisAway",
        severity="critical",
        expr="max(meterd_redis_up) < 1",
        for_="1m",
        summary="Redis does not answer: nothing can be sent, and no command is handled",
        runbook="crashes-and-restarts",
    ),
    Alarm(
        name="MeterdPostgresAway",
        severity="warning",
        expr="max(meterd_postgres_up) < 1",
        for_="5m",
        summary="PostgreSQL does not answer the gateway: ended chats and ledgers can't be read",
        runbook="crashes-and-restarts",
    ),
    Alarm(
        name="MeterdQueueStuck",
        severity="critical",
        expr=f"max(meterd_queue_oldest_age_seconds) > {QUEUE_OLDEST_S_MAX}",
        for_="1m",
        summary=f"the oldest command has waited for more than {QUEUE_OLDEST_S_MAX} s",
        runbook="watching-it",
        tile="queue_oldest_ms",
        holds=lambda status: _queue(status, "oldest_ms") > QUEUE_OLDEST_S_MAX * 1_000,
    ),
    Alarm(
        name="MeterdSlow",
        severity="warning",
        expr=_quantile("latency"),
        for_="5m",
        summary=f"one command in a hundred takes longer than {LATENCY_MS_MAX // 1_000} s",
        runbook="slow-and-busy-machines",
        tile="latency_p99_ms",
        holds=lambda status: _recent(status, "latency_p99_ms") > LATENCY_MS_MAX,
    ),
    Alarm(
        name="MeterdLate",
        severity="warning",
        expr=_quantile("lateness"),
        for_="5m",
        summary="one change in a hundred that time brings is more than "
        f"{LATENCY_MS_MAX // 1_000} s late",
        runbook="slow-and-busy-machines",
        tile="lateness_p99_ms",
        holds=lambda status: _recent(status, "lateness_p99_ms") > LATENCY_MS_MAX,
    ),
    Alarm(
        name="MeterdOutboxOld",
        severity="warning",
        expr=f"max(meterd_outbox_oldest_age_seconds) > {OUTBOX_OLDEST_S_MAX}",
        for_="1m",
        summary=f"a commit has waited for PostgreSQL for more than {OUTBOX_OLDEST_S_MAX} s",
        runbook="crashes-and-restarts",
        tile="outbox",
        holds=lambda status: _queue(status, "outbox_oldest_ms") > OUTBOX_OLDEST_S_MAX * 1_000,
    ),
    Alarm(
        name="MeterdOutboxFilling",
        severity="critical",
        expr=_filled("outbox_entries", "outbox_limit_entries"),
        for_="0m",
        summary=f"more than {FILLED_PERCENT_MAX} % of what may wait for PostgreSQL waits: at the "
        "limit no chat opens",
        runbook="bounds",
        tile="outbox",
        holds=lambda status: _is_full(_queue(status, "outbox"), status, "outbox"),
    ),
    Alarm(
        name="MeterdRefused",
        severity="critical",
        expr="max(meterd_refused_entries) > 0",
        for_="0m",
        summary="PostgreSQL has refused commits for good: they are billed and not recorded",
        runbook="watching-it",
        tile="refused",
        holds=lambda status: _queue(status, "refused") > 0,
    ),
    Alarm(
        name="MeterdDeadLetters",
        severity="warning",
        expr="max(meterd_dead_letters) > 0",
        for_="0m",
        summary="entries were set aside: somebody has to send them again or drop them",
        runbook="dead-letters",
        tile="dead",
        holds=lambda status: _queue(status, "dead") > 0,
    ),
    Alarm(
        name="MeterdCommandsMissing",
        severity="critical",
        expr="max(increase(meterd_queue_missing_total[1h])) > 0",
        for_="0m",
        summary="commands were deleted from the stream before anybody had read them: somebody "
        "trims it",
        runbook="crashes-and-restarts",
    ),
    Alarm(
        name="MeterdDeadLettersDropped",
        severity="warning",
        expr="max(increase(meterd_dead_letters_dropped_total[1h])) > 0",
        for_="0m",
        summary="the oldest dead letters went because there were too many; the journal has them",
        runbook="dead-letters",
    ),
    Alarm(
        name="MeterdRepliesDropped",
        severity="warning",
        expr="max(increase(meterd_replies_dropped_total[1h])) > 0",
        for_="0m",
        summary="replies were not written because there were too many reply streams: a backend "
        "makes one for each command",
        runbook="bounds",
    ),
    Alarm(
        name="MeterdReplyStreamsFilling",
        severity="warning",
        expr=_filled("reply_streams", "reply_streams_limit"),
        for_="5m",
        summary=f"more than {FILLED_PERCENT_MAX} % of the reply streams that there may be are "
        "there: at the limit new ones get no reply",
        runbook="bounds",
        tile="memory_bytes",
        holds=lambda status: _is_full(
            int(_memory(status).get("reply_streams") or 0), status, "reply_streams"
        ),
    ),
    Alarm(
        name="MeterdMemoryFilling",
        severity="critical",
        expr=_memory_over("redis_used_bytes", FILLED_PERCENT_MAX),
        for_="1m",
        summary=f"Redis uses more than {FILLED_PERCENT_MAX} % of its maxmemory: when it is full "
        "it takes no commands",
        runbook="bounds",
        tile="memory_bytes",
        holds=lambda status: _is_memory_over(
            status, int(_memory(status).get("used_bytes") or 0), FILLED_PERCENT_MAX
        ),
    ),
    Alarm(
        name="MeterdIdsFilling",
        severity="warning",
        expr=_memory_over('redis_bytes{kind="ids"}', IDS_PERCENT_MAX),
        for_="5m",
        summary=f"remembered ids take more than {IDS_PERCENT_MAX} % of the maxmemory of Redis",
        runbook="sizing",
        tile="memory_bytes",
        holds=lambda status: _is_memory_over(
            status, int((_memory(status).get("kinds") or {}).get("ids") or 0), IDS_PERCENT_MAX
        ),
    ),
    Alarm(
        name="MeterdChatsFilling",
        severity="warning",
        expr=_filled("open_chats", "open_chats_limit"),
        for_="5m",
        summary=f"more than {FILLED_PERCENT_MAX} % of the chats that may be open are: a start "
        "beyond the limit gets at_capacity",
        runbook="sizing",
        tile="open_chats",
        holds=lambda status: _is_full(status.get("open_chats") or 0, status, "open_chats"),
    ),
    Alarm(
        name="MeterdActorsDown",
        severity="warning",
        expr='max(meterd_actors{state="down"}) > 0',
        for_="2m",
        summary="a chat actor does not work: commands of its chats wait",
        runbook="crashes-and-restarts",
        tile="actors",
        holds=lambda status: any(map(_is_missed, status.get("actors") or ())),
    ),
    Alarm(
        name="MeterdActorsRestarting",
        severity="warning",
        expr=f"max(increase(meterd_actor_restarts_total[15m])) > {RESTARTS_MAX}",
        for_="0m",
        summary=f"chat actors were replaced more than {RESTARTS_MAX} times in 15 minutes",
        runbook="crashes-and-restarts",
        tile="actors",
    ),
    Alarm(
        name="MeterdStreamsDropped",
        severity="warning",
        expr="sum(increase(meterd_gateway_streams_dropped_total[15m])) > 10",
        for_="0m",
        summary="streams end because their readers are too slow",
        runbook="the-gateway",
    ),
)


def alarms_of(status: Status) -> Iterator[dict[str, str]]:
    """The alarms that hold by a status, in the order of the table."""
    for alarm in ALARMS:
        if alarm.holds is not None and alarm.holds(status):
            assert alarm.tile is not None, "who reads a status sees where to look"
            yield {
                "name": alarm.name,
                "severity": alarm.severity,
                "summary": alarm.summary,
                "tile": alarm.tile,
            }
