# SPDX-License-Identifier: Apache-2.0
"""One look for all figures, and the way from a Matplotlib figure to SVG text."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

INK = "#1f2933"
QUIET = "#7b8794"
GRID = "#e4e7eb"
UP, DOWN = "#d9480f", "#1c6fb8"
SITE_COLOURS = ("#0b7285", "#e67700", "#5f3dc4", "#2b8a3e", "#c2255c", "#495057", "#1864ab", "#846358")
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


def new_figure(width: float, height: float, columns: int = 1, **options: Any) -> tuple[Figure, list[Axes]]:
    """Return a figure (inches) with ``columns`` axes in a row; no pyplot, so no global state."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.subplots(1, columns, squeeze=False, **options)
    return figure, list(axes[0])


def to_svg(figure: Figure) -> str:
    """Return the figure as SVG text with a transparent background."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return buffer.getvalue()
