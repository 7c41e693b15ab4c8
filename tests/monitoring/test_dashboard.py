"""The dashboard: Prometheus understands each expression, and each finds what it asks for."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from daemon.monitoring.alarms import ALARMS
from daemon.monitoring.dashboard import RATE, ROWS, dashboard
from tests.monitoring.pages import page_of, working
from tests.monitoring.promtool import promtool
from tests.monitoring.selectors import missing_of

FILE: Final = Path(__file__).parents[2] / "deploy/grafana/meterd.json"


def _panels() -> list[dict[str, Any]]:
    panels: list[dict[str, Any]] = json.loads(FILE.read_text())["panels"]
    return panels


def _expressions() -> Iterator[str]:
    for panel in _panels():
        for target in panel.get("targets", ()):
            yield target["expr"].replace(RATE, "5m")


def test_the_dashboard_is_made_from_the_table() -> None:
    """python -m daemon.monitoring.dashboard > deploy/grafana/meterd.json"""
    assert FILE.read_text() == dashboard()


def test_prometheus_understands_every_expression(tmp_path: Path) -> None:
    rules = [{"record": f"panel:{n}", "expr": expr} for n, expr in enumerate(_expressions())]
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool("check", "rules", str(file))


@pytest.mark.parametrize("expr", [*_expressions(), *(alarm.expr for alarm in ALARMS)])
def test_an_expression_finds_what_it_asks_for(expr: str) -> None:
    """Its metrics, with their labels, are on the page of a service that works."""
    assert missing_of(expr, page_of(working())) == []


def test_what_is_misspelt_is_found_missing() -> None:
    page = page_of(working())
    assert missing_of("max(meterd_open_chat)", page) == ["meterd_open_chat"]
    assert missing_of('meterd_daemon_state{state="redy"}', page)
    assert missing_of('meterd_events_total{event=~"credits.high|x"}', page)
    assert missing_of("max by (stat) (meterd_daemon_state)", page) == ["by stat"]


def test_panels_do_not_lie_on_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in _panels():
        at = panel["gridPos"]
        fields = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not fields & taken, panel["title"]
        assert max(x for x, _ in fields) < 24
        taken |= fields
    assert len({panel["id"] for panel in _panels()}) == len(_panels())


def test_the_rows_are_those_that_an_operator_looks_for() -> None:
    assert list(ROWS) == [
        "State", "Commands", "Latency", "Queue", "Memory", "Credits", "Actors", "Recorder",
        "Gateway",
    ]  # fmt: skip
