# SPDX-License-Identifier: Apache-2.0
"""Grey values of a site and the areas of its classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dsfedmed.data.datalist import PARTS
from dsfedmed.data.review.items import BINS, ReviewedItem
from dsfedmed.reporting.figures.style import DOWN, INK, QUIET, SITE_COLOURS, Chart, new_chart, styled, to_chart


@styled
def grey_chart(items: Sequence[ReviewedItem]) -> list[Chart]:
    """Return the histogram of the grey values of each part, each as shares of its own pixels."""
    if not items:
        return []
    figure, axis = new_chart(2.6)
    said: dict[str, float] = {}
    edges = np.linspace(0, 1, BINS + 1)
    for shade, part in zip(SITE_COLOURS, PARTS, strict=False):
        counts = np.sum([item.histogram for item in items if item.part == part], axis=0)
        if np.any(counts):
            said[part] = float(np.average((edges[:-1] + edges[1:]) / 2, weights=counts))
            axis.stairs(counts / counts.sum(), edges, color=shade, label=part, linewidth=1.4)
    axis.set_title("Grey values")
    axis.set_xlabel("grey value as training sees it")
    axis.set_ylabel("share of pixels")
    axis.legend()
    means = "; ".join(f"{part} {mean:.2f}" for part, mean in said.items())
    return [to_chart(figure, f"Grey values of each part, mean of 0 to 1: {means}.")]


@styled
def area_chart(items: Sequence[ReviewedItem], names: Sequence[str]) -> list[Chart]:
    """Return the distribution of each class's share of the image over all labelled images; none without masks.

    Args:
        items: of the site.
        names: of the foreground classes, from value 1 upwards; at most twelve are drawn.
    """
    areas = [item.areas for item in items if item.areas is not None]
    if not areas:
        return []
    figure, axis = new_chart(2.6)
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
    said = "; ".join(f"{name} {share:.1f}" for name, share in zip(names[:12], middle, strict=False))
    return [to_chart(figure, f"Areas of the classes, median share of the image in %: {said}.")]
