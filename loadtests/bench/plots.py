"""The figures as drawings."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from matplotlib.figure import Figure as Drawing

from loadtests.bench.figures import BenchFigures, Figure
from loadtests.bench.stages import SHOWN
from loadtests.bench.targets import number
from loadtests.common.svg import svg_of

INK: Final = "#2f6f9f"
OTHER: Final = "#b0b7bd"
WARM: Final = "#c9722b"

COLOURS: Final = (INK, WARM)
STAGE_COLOURS: Final = (OTHER, INK, WARM, "#6f9f2f", "#7a5195")

Panel = tuple[str, Mapping[str, str]]
"""A title; the figures that are drawn over their sizes, with what each is called."""

Draw = Callable[[Drawing, BenchFigures], bool]
"""Draws; whether there was anything to draw."""


def draw(folder: Path, measured: Mapping[str, BenchFigures]) -> list[str]:
    """Draw what was measured; returns the names of the drawings."""
    folder.mkdir(parents=True, exist_ok=True)
    return [
        name
        for name, one in DRAWINGS.items()
        if name in measured and _draw(folder / f"{name}.svg", one, measured[name])
    ]


def _draw(path: Path, one: Draw, figures: BenchFigures) -> bool:
    svg = svg_of(lambda drawing: one(drawing, figures))
    if svg:
        path.write_text(svg, "utf-8")
    return bool(svg)


def _bars(axes: Any, figures: Sequence[tuple[str, Figure]], mark: str = "") -> None:
    """A bar for the median of each, with a line from the least to the most."""
    middle = [f.median for _, f in figures]
    below = [f.median - f.low for _, f in figures]
    above = [f.high - f.median for _, f in figures]
    colours = [INK if label.startswith(mark) else OTHER for label, _ in figures]
    axes.barh(range(len(figures)), middle, xerr=[below, above], color=colours, ecolor="#333333")
    axes.set_yticks(range(len(figures)), [label for label, _ in figures])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")


def _line(axes: Any, points: Sequence[tuple[int, Figure]], label: str, colour: str = INK) -> None:
    """A line through the medians, with all rounds shaded."""
    sizes = [size for size, _ in points]
    axes.plot(sizes, [f.median for _, f in points], marker="o", color=colour, label=label)
    axes.fill_between(
        sizes, [f.low for _, f in points], [f.high for _, f in points], color=colour, alpha=0.2
    )


def _of(figures: BenchFigures, names: Mapping[str, str]) -> list[tuple[str, Figure]]:
    found = [(label, figures.get(name)) for name, label in names.items()]
    return [(label, figure) for label, figure in found if figure]


def _peak(drawing: Drawing, figures: BenchFigures) -> bool:
    peers = [n for n in figures.by_name if n.startswith("peer_")]
    names = {
        "commands_per_s": "meterd",
        "commands_recorded_per_s": "meterd, Postgres as well",
        "mixed_per_s": "meterd, ten chats an account",
        "max_throughput_per_s": "one client, commits alone",
        **{name: name.removeprefix("peer_").removesuffix("_per_s") for name in peers},
    }
    found = _of(figures, names)
    if found:
        axes = drawing.subplots()
        _bars(axes, found, "meterd")
        axes.set_xlabel("commands a second")
    return bool(found)


def _latency(drawing: Drawing, figures: BenchFigures) -> bool:
    names = {
        f"{load}_{point}_ms": f"{point} at a {load}"
        for load in ("tenth", "half")
        for point in ("p50", "p95", "p99", "max")
    }
    found = _of(figures, names)
    if found:
        axes = drawing.subplots()
        _bars(axes, found)
        axes.set_xscale("log")
        axes.set_xlabel("ms from command to reply, at a share of the peak")
    return bool(found)


def _stages(drawing: Drawing, figures: BenchFigures) -> bool:
    """For each rate a bar of all stages, one after the other."""
    found = {stage: figures.series(f"{stage}_ms") for stage in SHOWN}
    rates = [rate for rate, _ in found[SHOWN[0]]]
    if rates:
        axes = drawing.subplots()
        ends = [0.0] * len(rates)
        for (stage, points), colour in zip(found.items(), STAGE_COLOURS, strict=True):
            widths = [figure.median for _, figure in points]
            axes.barh(range(len(rates)), widths, left=ends, color=colour, label=stage)
            ends = [end + width for end, width in zip(ends, widths, strict=True)]
        axes.set_yticks(range(len(rates)), [f"{number(rate)} a second" for rate in rates])
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("ms of a command, on average")
        axes.legend(frameon=False, fontsize=8, loc="upper right")
    return bool(rates)


def _timer_latency(drawing: Drawing, figures: BenchFigures) -> bool:
    found = _of(figures, {f"{point}_ms": point for point in ("p50", "p95", "p99", "max")})
    if found:
        axes = drawing.subplots()
        _bars(axes, found)
        axes.set_xlabel("ms from the computed millisecond to the event")
    return bool(found)


def _panels(drawing: Drawing, figures: BenchFigures, panels: Sequence[Panel], size: str) -> bool:
    """Panels side by side, each with lines over the size."""
    for axes, (title, names) in zip(drawing.subplots(1, len(panels)), panels, strict=True):
        found = [(label, figures.series(name)) for name, label in names.items()]
        for (label, points), colour in zip(found, COLOURS, strict=False):
            if points:
                _line(axes, points, label, colour)
        _axes(axes, [size_ for _, points in found for size_, _ in points])
        axes.set_title(title, fontsize=9)
        axes.set_xlabel(size)
        if len(axes.lines) > 1:
            axes.legend(frameon=False, fontsize=8)
    return True


def _axes(axes: Any, sizes: Sequence[int]) -> None:
    """From zero up; along, the sizes that were measured."""
    axes.set_ylim(0, 1.15 * axes.get_ylim()[1])
    axes.set_xscale("log")
    axes.minorticks_off()
    shown = sorted(set(sizes))
    axes.set_xticks(shown, [f"{size // 1000}k" if size >= 1000 else f"{size}" for size in shown])


def _idle_cost(drawing: Drawing, figures: BenchFigures) -> bool:
    cpu = {"cpu_percent": "the daemon", "empty_cpu_percent": "empty Ray actors"}
    panels: tuple[Panel, ...] = (
        ("CPU, % of a core", cpu),
        ("memory, MiB", {"actors_mib": "chat actors", "redis_mib": "Redis"}),
        ("commands a second", {"commands_per_s": ""}),
    )
    return bool(figures.series("cpu_percent")) and _panels(drawing, figures, panels, "open chats")


def _actors(drawing: Drawing, figures: BenchFigures) -> bool:
    panels: tuple[Panel, ...] = (
        ("memory of all, MiB", {"memory_mib": ""}),
        ("CPU without work, % of a core", {"cpu_percent": ""}),
        ("commands a second", {"commands_per_s": ""}),
        ("start on a spare, ms", {"warm_p50_ms": "p50", "warm_p99_ms": "p99"}),
    )
    return bool(figures.series("memory_mib")) and _panels(drawing, figures, panels, "actors")


DRAWINGS: Final[Mapping[str, Draw]] = {
    "throughput": _peak,
    "latency": _latency,
    "stages": _stages,
    "idle_cost": _idle_cost,
    "timer_latency": _timer_latency,
    "actors": _actors,
}
