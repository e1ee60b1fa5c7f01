# SPDX-License-Identifier: Apache-2.0
"""One look for all charts, and the way from a Matplotlib figure to SVG text."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

INK = "#1f2933"
QUIET = "#627082"
GRID = "#e4e7eb"
UP, DOWN = "#d9480f", "#1c6fb8"
SITE_COLOURS = ("#0b7285", "#e67700", "#5f3dc4", "#2b8a3e", "#c2255c", "#495057", "#1864ab", "#846358")
WIDTH = 3.7
"""Inches of a chart: on a phone of 390 pixels its letters have 11 of them."""
P = ParamSpec("P")
T = TypeVar("T")
RC: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "axes.edgecolor": GRID,
    "axes.labelcolor": INK,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "axes.titlepad": 8,
    "lines.solid_joinstyle": "round",
    "svg.hashsalt": "dsfedmed",  # the same run gives the same bytes
}


def styled(draw: Callable[P, T]) -> Callable[P, T]:
    """Draw with this module's settings, whatever the process has set; Matplotlib reads them while it draws."""

    @functools.wraps(draw)
    def inside(*args: P.args, **kwargs: P.kwargs) -> T:
        with matplotlib.rc_context(RC):
            return draw(*args, **kwargs)

    return inside


@dataclass(frozen=True)
class Chart:
    """One drawing of a page.

    Attributes:
        svg: as SVG text, drawn for a phone's width; a page puts several side by side where there is room.
        alt: what it shows, with its figures, for who cannot see it.
    """

    svg: str
    alt: str


def new_chart(height: float) -> tuple[Figure, Axes]:
    """Return a figure of a phone's width, ``height`` inches high, and its axes; no pyplot, so no global state."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    FigureCanvasSVG(figure)
    return figure, figure.subplots()


def to_chart(figure: Figure, alt: str) -> Chart:
    """Return the figure as SVG with a transparent background."""
    buffer = io.StringIO()
    ConstrainedLayoutEngine().execute(figure)
    figure.set_layout_engine("none")  # else everything is drawn once more to lay it out
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return Chart(buffer.getvalue(), alt)
