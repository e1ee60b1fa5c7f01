# SPDX-License-Identifier: Apache-2.0
"""The sites' own networks at each other's sites, where a simulation was asked for that."""

from __future__ import annotations

from typing import Any

from dsfedmed.reporting.figures.cross_site import cross_site_charts
from dsfedmed.reporting.page.html import Section, chart_figure, join, note


def cross_site(results: dict[str, Any]) -> list[Section]:
    """Return the squares of figures; no section where there are none."""
    found = results["cross_site"]
    if not found:
        return []
    explained = note(
        "What a network that belongs to one hospital is worth at another: a row is a network, a column the test "
        "images of one hospital; a frame marks a network on its own hospital's images. Mean Dice over images, in %, "
        "darker is higher. Networks of the hospitals' own never leave them: this is possible in a simulation only."
    )
    charts = cross_site_charts(found, (*results["sites"], *results["unseen"]))
    return [Section("cross-site", "Each hospital's network at the others", join((explained, chart_figure(charts))))]
