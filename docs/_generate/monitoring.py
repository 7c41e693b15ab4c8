"""The references of metrics, alarms and states: from what the gateway and the alarms have."""

import re
from collections.abc import Iterator
from typing import Final

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from daemon.gateway.metrics import Metrics, Scraped
from daemon.monitoring.alarms import ALARMS, Alarm
from daemon.monitoring.next_steps import NEXT_STEPS
from docs._generate.markdown import block, code, page, prose, table

_VALUES_MAX: Final = 12
"""A label with more values than that is shown by its name alone."""
_BOUNDS: Final = ("le", "quantile")
_METRIC: Final = re.compile(r"\bmeterd_[a-z_]+")


class _NoStreams:
    """A gateway without streams."""

    told = 0
    dropped = 0

    def __len__(self) -> int:
        return 0


def metric_families() -> list[Metric]:
    """Return every metric that a gateway has, as one without a daemon shows it."""
    metrics = Metrics(_NoStreams())
    metrics.expect("/v1/status", "GET", 200)
    shown = metrics.page(Scraped(status={}, queue={}, chats={}))
    return sorted(text_string_to_metric_families(shown.decode()), key=lambda one: one.name)


def metrics_page() -> str:
    """Make the page of the metrics."""
    rows = (
        (code(_full_name(family)), family.type, _labels(family), prose(family.documentation))
        for family in metric_families()
    )
    return page(
        "# Metrics",
        "This page is for operators who monitor meterd with Prometheus. It lists every metric that "
        "`GET /metrics` returns.",
        "A histogram has the series `_bucket`, `_sum` and `_count`.",
        table(("metric", "type", "labels", "meaning"), rows),
    )


def _full_name(family: Metric) -> str:
    return f"{family.name}_total" if family.type == "counter" else family.name


def _labels(family: Metric) -> str:
    values: dict[str, list[str]] = {}
    for sample in family.samples:
        for label, value in sample.labels.items():
            if label not in _BOUNDS and value not in values.setdefault(label, []):
                values[label].append(value)
    return "; ".join(_label(family, name, found) for name, found in values.items())


def _label(family: Metric, name: str, values: list[str]) -> str:
    is_open = family.name.startswith("meterd_gateway_") or name == "version"
    if is_open or len(values) > _VALUES_MAX:
        return code(name)
    return f"{code(name)}: {', '.join(map(code, values))}"


def alarms_page() -> str:
    """Make the page of the alarms and of the states."""
    steps = ((code(state), prose(step or "nothing")) for state, step in NEXT_STEPS.items())
    alarms = (part for alarm in ALARMS for part in _alarm(alarm))
    return page(
        "# Alarms and states",
        "This page is for operators. It lists each state and each alarm: what it means, when it "
        "fires, and what to do.",
        "## States",
        table(("state", "what to do"), steps),
        "## Alarms",
        "An alarm fires once its expression has held for the time given. The operations page and "
        "`meterd status` show it at once.",
        *alarms,
    )


def _alarm(alarm: Alarm) -> Iterator[str]:
    yield f"### {alarm.name}"
    yield prose(f"{alarm.summary[0].upper()}{alarm.summary[1:]}.")
    metrics = dict.fromkeys(_METRIC.findall(alarm.expr)) or ("up",)
    yield "\n".join(
        (
            f"- severity: {alarm.severity}",
            f"- held for: {alarm.for_}",
            f"- metrics: {', '.join(map(code, metrics))}",
            f"- what to do: [{alarm.runbook}](../docs/operations.md#{alarm.runbook})",
        )
    )
    yield block(alarm.expr, "text")
