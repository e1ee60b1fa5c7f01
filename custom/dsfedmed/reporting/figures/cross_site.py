# SPDX-License-Identifier: Apache-2.0
"""Every site's own network at every site: a square of figures, darker where they are higher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.patches import Rectangle

from dsfedmed.reporting.figures.style import INK, WIDTH, Chart, new_chart, styled, to_chart
from dsfedmed.reporting.methods import display_name

DARKEST = 0.5
"""Of the colours, so that the figures on them can be read."""
SMALL = 6
"""Sites from which on the figures are written smaller."""
Square = Mapping[str, Mapping[str, float]]


@styled
def cross_site_charts(found: Mapping[str, Square], sites: Sequence[str]) -> list[Chart]:
    """Return one square a model.

    Args:
        found: Dice in percent by model, the site whose network it is, and the site whose test images.
        sites: in the order of rows and columns.
    """
    return [_square(model, square, sites) for model, square in found.items()]


def _square(model: str, square: Square, sites: Sequence[str]) -> Chart:
    """Rows are networks, columns test images; a site's network on its own images has a frame."""
    rows = [site for site in sites if site in square]
    values = np.array([[square[row].get(column, np.nan) for column in sites] for row in rows])
    figure, axis = new_chart(0.9 + WIDTH * 0.75 * len(rows) / len(sites))
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    shades = DARKEST * (values - low) / (high - low if high > low else 1.0)
    axis.pcolormesh(shades, cmap=matplotlib.colormaps["Blues"], vmin=0, vmax=1, edgecolors="white", linewidth=1)
    for (row, column), value in np.ndenumerate(values):
        figures = "-" if np.isnan(value) else f"{value:.1f}"
        size = 9 if len(sites) <= SMALL else 6.5
        axis.text(column + 0.5, row + 0.5, figures, ha="center", va="center", color=INK, fontsize=size)
        if rows[row] == sites[column]:
            axis.add_patch(Rectangle((column, row), 1, 1, fill=False, edgecolor=INK, linewidth=1.4))
    axis.set_title(display_name(model))
    axis.set_xlabel("test images of")
    axis.set_ylabel("network of")
    axis.set_xticks(np.arange(len(sites)) + 0.5, sites, rotation=30, ha="right")
    axis.set_yticks(np.arange(len(rows)) + 0.5, rows)
    axis.invert_yaxis()
    axis.grid(visible=False)
    axis.tick_params(length=0)
    return to_chart(figure, f"{display_name(model)}, Dice in %: {_said(square, rows, sites)}.")


def _said(square: Square, rows: Sequence[str], sites: Sequence[str]) -> str:
    """Return the figures as a sentence, for who cannot see them."""
    told = (", ".join(f"{square[row][site]:.1f} at {site}" for site in sites if site in square[row]) for row in rows)
    return "; ".join(f"the network of {row} has {figures}" for row, figures in zip(rows, told, strict=True))
