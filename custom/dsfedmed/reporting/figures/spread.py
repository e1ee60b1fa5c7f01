# SPDX-License-Identifier: Apache-2.0
"""The Dice of every test image, method by method: how it spreads, which a mean hides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from dsfedmed.evaluation.metrics import CaseMetrics
from dsfedmed.methods import MODELS
from dsfedmed.reporting.figures.style import INK, Chart, new_chart, styled, to_chart

Cases = Mapping[str, Mapping[str, Sequence[CaseMetrics]]]


@styled
def spread_charts(cases: Cases, sites: Sequence[str]) -> list[Chart]:
    """Return one strip of dots per method, a chart per site; sites where nothing was tested are left out.

    Args:
        cases: by method and site.
        sites: in the order of the charts.
    """
    return [_site(cases, site) for site in sites if any(site in found for found in cases.values())]


def _site(cases: Cases, site: str) -> Chart:
    """One dot an image, moved up or down a little so that equal ones are seen, and the median as a bar."""
    shown = [method for method in MODELS if site in cases.get(method.key, {})]
    figure, axis = new_chart(0.9 + 0.34 * len(shown))
    said = []
    for row, method in enumerate(shown):
        dice = np.array([100 * case.mean_dice for case in cases[method.key][site]])
        places = row + (np.arange(len(dice)) * 37 % 11 - 5) / 24
        axis.plot(dice, places, "o", color=method.colour, markersize=3, alpha=0.6, markeredgewidth=0)
        lower, middle, upper = np.percentile(dice, (25, 50, 75))
        axis.plot([middle, middle], [row - 0.34, row + 0.34], color=INK, linewidth=1.6)
        said.append(f"{method.name} {middle:.0f} ({lower:.0f} to {upper:.0f})")
    axis.set_title(site)
    axis.set_xlabel("Dice of each test image, %")
    axis.set_xlim(-3, 103)
    axis.set_yticks(range(len(shown)), [method.name for method in shown])
    axis.set_ylim(len(shown) - 0.4, -0.6)
    axis.grid(axis="y", visible=False)
    return to_chart(figure, f"{site}, Dice of the test images in %, median and quartiles: {'; '.join(said)}.")
