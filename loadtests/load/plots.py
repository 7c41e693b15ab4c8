"""Plots of a run over time, as SVG to be put into a page."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from matplotlib import colormaps
from matplotlib.figure import Figure

from loadtests.common.processes import MIB
from loadtests.common.svg import svg_of

Draw = Callable[[Any], None]


def plots_of(figures: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Titles and drawings; nothing where nothing was measured."""
    if figures["series"]:
        yield "Commands a second", _plot("commands/s", lambda axes: _commands(axes, figures))
        yield "LoadCommand to reply", _plot("ms", lambda axes: _latency(axes, figures["series"]))
    samples = figures["process_series"]
    if len(samples) > 1:
        yield "CPU by process", _plot("% of a core", lambda axes: _cpu(axes, samples))
        yield "Memory by process", _plot("MiB", lambda axes: _memory(axes, samples))


def _plot(unit: str, draw: Draw) -> str:
    def whole(drawing: Figure) -> bool:
        axes = drawing.subplots()
        axes.set_prop_cycle(color=[colormaps["tab20"](n) for n in range(20)])  # many processes
        draw(axes)
        axes.set_xlabel("s, measured phase")
        axes.set_ylabel(unit)
        axes.set_ylim(bottom=0)
        axes.legend(fontsize="x-small", loc="center left", bbox_to_anchor=(1.0, 0.5))
        return True

    svg = svg_of(whole)
    return svg[svg.index("<svg") :]


def _commands(axes: Any, figures: Mapping[str, Any]) -> None:
    series = figures["series"]
    axes.plot([s["at_s"] for s in series], [s["commands_per_s"] for s in series], label="reached")
    if figures["asked_per_s"]:
        axes.axhline(figures["asked_per_s"], linestyle=":", color="grey", label="asked for, mean")


def _latency(axes: Any, series: list[Mapping[str, Any]]) -> None:
    for percent in ("p50", "p99"):
        values = [s[f"latency_ms_{percent}"] for s in series]
        axes.plot([s["at_s"] for s in series], values, label=percent)


def _cpu(axes: Any, samples: list[Mapping[str, Any]]) -> None:
    pairs = list(itertools.pairwise(samples))
    for role in samples[-1]["cpu_s"]:
        values = [_percent(a, b, role) for a, b in pairs]
        axes.plot([b["at_s"] for _, b in pairs], values, label=role, linewidth=1)


def _percent(before: Mapping[str, Any], after: Mapping[str, Any], role: str) -> float:
    used_s = after["cpu_s"].get(role, 0.0) - before["cpu_s"].get(role, 0.0)
    return float(100 * used_s / max(0.001, after["at_s"] - before["at_s"]))


def _memory(axes: Any, samples: list[Mapping[str, Any]]) -> None:
    told = [s for s in samples if s["memory_bytes"]]
    for role in samples[-1]["cpu_s"]:
        values = [s["memory_bytes"].get(role, 0) / MIB for s in told]
        axes.plot([s["at_s"] for s in told], values, label=role, linewidth=1, marker=".")
