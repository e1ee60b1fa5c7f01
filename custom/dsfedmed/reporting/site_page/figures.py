# SPDX-License-Identifier: Apache-2.0
"""Grey values of a site and the areas of its classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dsfedmed.data.datalist import PARTS
from dsfedmed.data.review.items import BINS, ReviewedItem
from dsfedmed.reporting.figures.style import DOWN, INK, QUIET, SITE_COLOURS, new_figure, styled, to_svg


@styled
def grey_figure(items: Sequence[ReviewedItem]) -> str | None:
    """Return the histogram of the grey values of each part, each as shares of its own pixels, as SVG."""
    if not items:
        return None
    figure, (axis,) = new_figure(5.4, 2.6)
    edges = np.linspace(0, 1, BINS + 1)
    for shade, part in zip(SITE_COLOURS, PARTS, strict=False):
        counts = np.sum([item.histogram for item in items if item.part == part], axis=0)
        if np.any(counts):
            axis.stairs(counts / counts.sum(), edges, color=shade, label=part, linewidth=1.4)
    axis.set_title("Grey values")
    axis.set_xlabel("grey value as training sees it")
    axis.set_ylabel("share of pixels")
    axis.legend()
    return to_svg(figure)


@styled
def area_figure(items: Sequence[ReviewedItem], names: Sequence[str]) -> str | None:
    """Return the distribution of each class's share of the image over all labelled images, as SVG; None without masks.

    Args:
        items: of the site.
        names: of the foreground classes, from value 1 upwards; at most twelve are drawn.
    """
    areas = [item.areas for item in items if item.areas is not None]
    if not areas:
        return None
    figure, (axis,) = new_figure(5.4, 2.6)
    table = 100 * np.array(areas)[:, :12]
    places = np.arange(1, table.shape[1] + 1)
    least, lower, middle, upper, largest = np.percentile(table, (0, 25, 50, 75, 100), axis=0)
    axis.hlines(places, least, largest, color=QUIET, linewidth=1)
    axis.hlines(places, lower, upper, color=DOWN, linewidth=7)
    axis.plot(middle, places, "|", color=INK, markersize=12)
    axis.set_ylim(0.4, table.shape[1] + 0.6)
    axis.set_yticks(range(1, table.shape[1] + 1), [name[:20] for name in names[:12]])
    axis.set_title("Areas of the classes")
    axis.set_xlabel("share of the image, % (least, quartiles, largest)")
    axis.grid(axis="y", visible=False)
    return to_svg(figure)
