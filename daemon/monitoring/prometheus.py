"""``python -m daemon.monitoring.prometheus``: the rules, as deploy/prometheus/ has them."""

import sys
from typing import Any, Final

import yaml

from daemon.monitoring.alarms import ALARMS, Alarm

_HEAD: Final = (
    "# Alarms for Prometheus, made from daemon/monitoring/alarms.py: do not edit by hand.\n"
    "# docs/operations.md#alarms says what to do about each.\n"
)


def rules() -> str:
    """The rules file as text."""
    group = {"name": "meterd", "rules": [_rule(alarm) for alarm in ALARMS]}
    document = {"groups": [group]}
    return _HEAD + yaml.safe_dump(document, sort_keys=False, width=120, allow_unicode=True)


def _rule(alarm: Alarm) -> dict[str, Any]:
    return {
        "alert": alarm.name,
        "expr": alarm.expr,
        "for": alarm.for_,
        "labels": {"severity": alarm.severity},
        "annotations": {
            "summary": alarm.summary,
            "runbook": f"docs/operations.md#{alarm.runbook}",
        },
    }


if __name__ == "__main__":
    sys.stdout.write(rules())
