"""What was measured: each figure with the values of its rounds, kept as JSON between runs."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from loadtests.common.statistics import median

Point = tuple[int, "Figure"]


class Figure(NamedTuple):
    """One figure: a value for each round."""

    unit: str
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle of the rounds."""
        return median(self.values)

    @property
    def low(self) -> float:
        """The least of the rounds."""
        return min(self.values)

    @property
    def high(self) -> float:
        """The most of the rounds."""
        return max(self.values)


class BenchFigures:
    """The figures of one measurement by their names; what depends on a size is ``name@size``."""

    def __init__(self, figures: Mapping[str, Figure] | None = None) -> None:
        self.by_name = dict(figures or {})
        self.notes: list[str] = []
        """What a reader has to know: what could not be measured and why."""
        self.why = ""
        """Why there is not more; empty if all was measured."""
        self.on = ""
        """The day, as YYYY-MM-DD."""

    def add(self, name: str, value: float, unit: str) -> None:
        """One round's value."""
        before = self.by_name.get(name, Figure(unit, ()))
        self.by_name[name] = Figure(unit, (*before.values, value))

    def get(self, name: str) -> Figure | None:
        """A figure, if it was measured."""
        return self.by_name.get(name)

    def last(self, name: str) -> float:
        """The latest round's value."""
        return self.by_name[name].values[-1]

    def series(self, name: str) -> list[Point]:
        """The figures ``name@size`` by size."""
        found = [
            (k.partition("@")[2], f) for k, f in self.by_name.items() if k.startswith(name + "@")
        ]
        return sorted((int(size), figure) for size, figure in found)

    def as_json(self) -> dict[str, Any]:
        """For the file."""
        figures = {
            name: {
                "unit": f.unit, "median": _short(f.median), "min": _short(f.low),
                "max": _short(f.high), "values": [_short(value) for value in f.values],
            }
            for name, f in self.by_name.items()
        }  # fmt: skip
        return {"on": self.on, "why": self.why, "notes": self.notes, "figures": figures}


def _short(value: float) -> float:
    """Four digits are more than any of these can be trusted for."""
    return float(f"{value:.5g}")


def from_json(document: Mapping[str, Any]) -> BenchFigures:
    """A measurement as the file has it."""
    named: Mapping[str, Any] = document["figures"]
    made = BenchFigures({k: Figure(f["unit"], tuple(f["values"])) for k, f in named.items()})
    made.why, made.notes, made.on = document["why"], list(document["notes"]), document["on"]
    return made


def read(path: Path) -> dict[str, BenchFigures]:
    """All measurements that the file has; none if there is no file."""
    if not path.exists():
        return {}
    document: Mapping[str, Any] = json.loads(path.read_text())
    return {name: from_json(one) for name, one in document["measurements"].items()}


def write(path: Path, machine: str, measured: Mapping[str, BenchFigures]) -> None:
    """Replace the file."""
    document = {
        "machine": machine,
        "measurements": {name: one.as_json() for name, one in measured.items()},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n")
