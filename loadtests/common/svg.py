"""Drawings as SVG that differs between runs only where the figures do."""

import io
from collections.abc import Callable
from typing import Final

import matplotlib as mpl
from matplotlib.figure import Figure

SETTINGS: Final = {
    "svg.hashsalt": "meterd",
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.3,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
SIZE_INCHES: Final = (8.0, 3.2)


def svg_of(draw: Callable[[Figure], bool]) -> str:
    """What ``draw`` draws; empty if it returns False: there is nothing to draw."""
    with mpl.rc_context(SETTINGS):
        drawing = Figure(figsize=SIZE_INCHES, layout="constrained")
        if not draw(drawing):
            return ""
        text = io.StringIO()
        drawing.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()
