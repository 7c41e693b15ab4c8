"""The report as one HTML file: what was asked for, the table, plots."""

import html
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from loadtests.load.plots import plots_of
from loadtests.load.rows import COLUMNS, Row, rows_of

STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 64rem; padding: 0 1rem;
       color: #1c1c1c; background: #fff; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; width: 100%; }
th, td { text-align: right; padding: .15rem .6rem; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
tbody { border-top: 1px solid #999; }
.passed { color: #1a6b2d; } .failed { color: #a3161a; }
svg { width: 100%; height: auto; } .wide { overflow-x: auto; }
"""


def write_report(figures: Mapping[str, Any], path: Path) -> None:
    """Write it."""
    path.write_text(page(figures), "utf-8")


def page(figures: Mapping[str, Any]) -> str:
    """The whole page; it needs nothing from outside but Locust's own files beside it."""
    asked = ", ".join(f"{k} {v}" for k, v in figures["asked"].items() if v != "")
    machine = figures["machine"]
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8"><title>meterd under load</title>',
        '<meta name="viewport" content="width=device-width">',
        f"<style>{STYLE}</style></head><body>",
        "<h1>meterd under load</h1>",
        _verdict(figures["problems"]),
        f"<p>{html.escape(asked)}</p>",
        (
            f"<p>{machine['cores']} cores; load average at the end {machine['load_1m']:.1f}. "
            f"RunFigures are of the measured phase, {figures['measured_s']:g} s; chats were opened "
            "before. Memory is PSS; CPU is in percent of one core. The load generator ran on the "
            "machine whose processes are shown.</p>"
        ),
        f'<div class="wide"><table>{_table(rows_of(figures))}</table></div>',
        *(f"<h2>{html.escape(title)}</h2>{svg}" for title, svg in plots_of(figures)),
        (
            '<p>Beside this file: <a href="figures.json">figures.json</a>, '
            '<a href="locust.html">Locust\'s report</a>, '
            '<a href="locust_stats.csv">locust_stats.csv</a>, '
            '<a href="locust_stats_history.csv">locust_stats_history.csv</a>.</p>'
        ),
        "</body></html>",
    ]
    return "\n".join(parts) + "\n"


def _verdict(problems: list[str]) -> str:
    if not problems:
        return '<p class="passed">All thresholds hold and the audit is clean.</p>'
    lines = "".join(f"<li>{html.escape(problem)}</li>" for problem in problems)
    return f'<ul class="failed">{lines}</ul>'


def _table(sections: list[list[Row]]) -> str:
    head = "".join(f"<th>{html.escape(name)}</th>" for name in ("", *COLUMNS))
    bodies = ("".join(_tr(row) for row in rows) for rows in sections)
    return f"<thead><tr>{head}</tr></thead>" + "".join(f"<tbody>{b}</tbody>" for b in bodies)


def _tr(row: Row) -> str:
    return "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
