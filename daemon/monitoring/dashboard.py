"""``python -m daemon.monitoring.dashboard``: the dashboard, as deploy/grafana/ has it."""

import json
import sys
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

from daemon.monitoring.alarms import (
    LATENCY_MS_MAX,
    OUTBOX_OLDEST_S_MAX,
    QUEUE_OLDEST_S_MAX,
)

Unit = Literal["short", "s", "ops", "bool", "bytes", "percentunit"]
Row = tuple["Panel", ...]

GRAFANA_SCHEMA: Final = 39
"""Of Grafana 10.3; newer ones read it as well."""
HEIGHT: Final = 7
WIDTH: Final = 24
RATE: Final = "$__rate_interval"


class Panel(NamedTuple):
    """One plot."""

    title: str
    queries: Mapping[str, str]
    """Legend → expression. Every gateway tells the same of the service: the highest counts."""
    unit: Unit = "short"
    about: str = ""
    limit: float | None = None
    """Above this it is red, as the alarm has it."""


def _rate(name: str) -> str:
    return f"max(rate(meterd_{name}_total[{RATE}]))"


def _rates(name: str, label: str) -> str:
    return f"max by ({label}) (rate(meterd_{name}_total[{RATE}]))"


def _quantiles(name: str) -> dict[str, str]:
    buckets = f"max by (le) (rate(meterd_{name}_seconds_bucket[{RATE}]))"
    return {f"p{q * 100:g}": f"histogram_quantile({q}, {buckets})" for q in (0.5, 0.99)}


ROWS: Final[dict[str, Row]] = {
    "State": (
        Panel("State", {"{{state}}": "max by (state) (meterd_daemon_state)"}, "bool"),
        Panel(
            "Servers",
            {"Redis": "max(meterd_redis_up)", "PostgreSQL": "max(meterd_postgres_up)"},
            "bool",
        ),
        Panel("Open chats", {"{{status}}": "max by (status) (meterd_chats)"}),
        Panel(
            "Changes of the lead",
            {
                "lead": f"max(increase(meterd_lease_changes_total[{RATE}]))",
                "clock steps": f"max(increase(meterd_clock_steps_total[{RATE}]))",
            },
        ),
    ),
    "Commands": (
        Panel("Commands a second", {"{{type}}": _rates("commands", "type")}, "ops"),
        Panel(
            "Refused a second",
            {
                "{{outcome}}": "max by (outcome) (sum by (instance, outcome) "
                f'(rate(meterd_commands_total{{outcome!="ok"}}[{RATE}])))'
            },
            "ops",
        ),
        Panel(
            "Set aside",
            {
                "letters": "max(meterd_dead_letters)",
                "{{outcome}} a second": _rates("dead_lettered_entries", "outcome"),
                "failed attempts a second": _rate("failed_attempts"),
            },
        ),
    ),
    "Latency": (
        Panel(
            "Latency",
            _quantiles("latency"),
            "s",
            "From a command's stream entry until its effect is committed",
            LATENCY_MS_MAX / 1_000,
        ),
        Panel(
            "Lateness",
            _quantiles("lateness"),
            "s",
            "From the millisecond computed for a change that time brings until its effect",
            LATENCY_MS_MAX / 1_000,
        ),
    ),
    "Queue": (
        Panel(
            "Waiting commands",
            {
                "not read": "max(meterd_queue_lag_entries)",
                "in hand": "max(meterd_queue_pending_entries)",
            },
        ),
        Panel(
            "Oldest command",
            {"age": "max(meterd_queue_oldest_age_seconds)"},
            "s",
            limit=QUEUE_OLDEST_S_MAX,
        ),
    ),
    "Memory": (
        Panel(
            "Memory of Redis",
            {
                "used": "max(meterd_redis_used_bytes)",
                "limit": "max(meterd_redis_limit_bytes)",
                "{{kind}}": "max by (kind) (meterd_redis_bytes)",
            },
            "bytes",
        ),
        Panel(
            "Ids and reply streams",
            {
                "ids": "max(meterd_remembered_ids)",
                "reply streams": "max(meterd_reply_streams)",
                "most reply streams": "max(meterd_reply_streams_limit)",
            },
        ),
        Panel(
            "Tables in PostgreSQL",
            {"{{table}}": "max by (table) (meterd_postgres_bytes)"},
            "bytes",
        ),
        Panel(
            "Went at a bound",
            {
                "replies": f"max(increase(meterd_replies_dropped_total[{RATE}]))",
                "dead letters": f"max(increase(meterd_dead_letters_dropped_total[{RATE}]))",
            },
        ),
        Panel("Log files", {"METERD_HOME": "max(meterd_log_bytes)"}, "bytes"),
    ),
    "Credits": (
        Panel(
            "Credits a second",
            {
                "charged": _rate("credits_charged"),
                "refunded": _rate("credits_refunded"),
                "topped up": _rate("credits_topped_up"),
                "adjusted {{direction}}": _rates("credits_adjusted", "direction"),
            },
        ),
        Panel(
            "Running out, a second",
            {
                "{{event}}": "max by (event) "
                f'(rate(meterd_events_total{{event=~"credits.low|credits.exhausted"}}[{RATE}]))'
            },
            "ops",
        ),
        Panel(
            "Active time of ended chats",
            {"seconds a second": _rate("active_seconds")},
            "short",
        ),
    ),
    "Actors": (
        Panel("Chat actors", {"{{state}}": "max by (state) (meterd_actors)"}),
        Panel(
            "Chats of what may be open",
            {"filled": "max(meterd_open_chats) / max(meterd_open_chats_limit)"},
            "percentunit",
            limit=0.8,
        ),
        Panel(
            "Replaced",
            {
                "chat actors": f"max(increase(meterd_actor_restarts_total[{RATE}]))",
                "recorders": f"max(increase(meterd_recorder_restarts_total[{RATE}]))",
            },
        ),
    ),
    "Recorder": (
        Panel(
            "Waiting for PostgreSQL",
            {
                "commits": "max(meterd_outbox_entries)",
                "limit": "max(meterd_outbox_limit_entries)",
                "refused for good": "max(meterd_refused_entries)",
            },
        ),
        Panel(
            "Oldest commit",
            {"age": "max(meterd_outbox_oldest_age_seconds)"},
            "s",
            limit=OUTBOX_OLDEST_S_MAX,
        ),
        Panel(
            "Recorder",
            {"works": "max(meterd_recorder_up)", "blocked": "max(meterd_recorder_blocked)"},
            "bool",
        ),
    ),
    "Gateway": (
        Panel(
            "Requests a second",
            {"{{status}}": f"sum by (status) (rate(meterd_gateway_requests_total[{RATE}]))"},
            "ops",
        ),
        Panel(
            "Time of a request, 99th percentile",
            {
                "{{route}}": "histogram_quantile(0.99, sum by (route, le) "
                f"(rate(meterd_gateway_request_seconds_bucket[{RATE}])))"
            },
            "s",
        ),
        Panel(
            "Streams",
            {
                "open": "sum(meterd_gateway_streams)",
                "ended as too slow": f"sum(increase(meterd_gateway_streams_dropped_total[{RATE}]))",
            },
        ),
        Panel("Memory", {"{{instance}}": 'process_resident_memory_bytes{job="meterd"}'}, "bytes"),
    ),
}


def dashboard() -> str:
    """The dashboard as text."""
    document = {
        "title": "meterd",
        "uid": "meterd",
        "tags": ["meterd"],
        "schemaVersion": GRAFANA_SCHEMA,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {
            "list": [
                {
                    "name": "datasource",
                    "label": "Data source",
                    "type": "datasource",
                    "query": "prometheus",
                }
            ]
        },
        "panels": _panels(),
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    top = 0
    for title, row in ROWS.items():
        at = {"h": 1, "w": WIDTH, "x": 0, "y": top}
        found.append({"id": len(found) + 1, "type": "row", "title": title, "gridPos": at})
        width = WIDTH // len(row)
        for number, panel in enumerate(row):
            at = {"h": HEIGHT, "w": width, "x": number * width, "y": top + 1}
            found.append({"id": len(found) + 1, "gridPos": at, **_plot(panel)})
        top += 1 + HEIGHT
    return found


def _plot(panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.limit is not None:
        steps.append({"color": "red", "value": panel.limit})
    source = {"type": "prometheus", "uid": "${datasource}"}
    return {
        "type": "timeseries",
        "title": panel.title,
        "description": panel.about,
        "datasource": source,
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit,
                "min": 0,
                "thresholds": {"mode": "absolute", "steps": steps},
                "custom": {"thresholdsStyle": {"mode": "off" if panel.limit is None else "line"}},
            },
            "overrides": [],
        },
        "targets": [
            {
                "refId": chr(ord("A") + number),
                "datasource": source,
                "expr": expr,
                "legendFormat": legend,
            }
            for number, (legend, expr) in enumerate(panel.queries.items())
        ],
    }


if __name__ == "__main__":
    sys.stdout.write(dashboard())
