"""``performance.md``: what stands between the markers is ours, the rest is its author's."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from loadtests.bench.figures import BenchFigures
from loadtests.bench.targets import Row, rows
from loadtests.common.code import ROOT

FOLDER: Final = "performance"

MODEL: Final = ROOT / "docs" / "performance.md"
"""What a document that is not there yet is made like."""

TITLES: Final = ("what", "target", "measured", "measured / target", "", "how")


def write(
    path: Path, machine: str, measured: Mapping[str, BenchFigures], plots: Sequence[str]
) -> None:
    """Put the results into the document; one that is not there is made like the project's own."""
    text = (path if path.exists() else MODEL).read_text()
    text = between(text, "table", f"{machine}\n\n{table(rows(measured))}")
    text = between(text, "plots", "\n\n".join(f"![{p}]({FOLDER}/{p}.svg)" for p in plots))
    text = between(text, "notes", notes(measured))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def between(text: str, name: str, content: str) -> str:
    """The text with other content between the markers of that name.

    Raises:
        ValueError: there is no such pair of markers.
    """
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"no place for it: {begin} and {end} are not in the document")
    return pattern.sub(lambda _: f"{begin}\n{content}\n{end}", text, count=1)


def table(lines: Sequence[Row]) -> str:
    """The promises as a table."""
    cells = [
        (r.what, r.target, r.measured, r.ratio, r.verdict, f"`{r.command}`" if r.command else "")
        for r in lines
    ]
    return markdown(TITLES, cells)


def notes(measured: Mapping[str, BenchFigures]) -> str:
    """How others were run, and what stood in the way of figures."""
    return "\n".join(f"- {name}: {note}" for name, f in measured.items() for note in _said(f))


def _said(figures: BenchFigures) -> list[str]:
    return [*figures.notes, *([f"stopped by {figures.why}"] if figures.why else [])]


def markdown(titles: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [titles, ["---"] * len(titles), *([_plain(c) for c in row] for row in cells)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _plain(cell: str) -> str:
    return " ".join(cell.replace("|", "\\|").split())
