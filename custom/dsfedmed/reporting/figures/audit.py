# SPDX-License-Identifier: Apache-2.0
"""How close synthetic images come to each site's own training images."""

from __future__ import annotations

from typing import Any

import numpy as np

from dsfedmed.reporting.figures.style import SITE_COLOURS, Chart, new_chart, styled, to_chart


@styled
def audit_charts(audit: dict[str, Any]) -> list[Chart]:
    """Return one histogram of nearest distances per site, with the veto threshold."""
    known = {site: entry for site, entry in audit.items() if entry.get("distances")}
    return [_histogram(site, entry, index) for index, (site, entry) in enumerate(known.items())]


def _histogram(site: str, entry: dict[str, Any], index: int) -> Chart:
    """One site."""
    figure, axis = new_chart(2.4)
    edges = np.asarray(entry["distances"]["edges"], dtype=float)
    counts = np.asarray(entry["distances"]["counts"], dtype=float)
    shade = SITE_COLOURS[index % len(SITE_COLOURS)]
    axis.bar(edges[:-1], counts, width=np.diff(edges), align="edge", color=shade, alpha=0.75)
    alt = f"{site}: {int(counts.sum())} synthetic images, nearest distances from {edges[0]:.3g} to {edges[-1]:.3g}"
    if entry.get("threshold") is not None:
        axis.axvline(entry["threshold"], color="#c92a2a", linewidth=1.6, label="veto below")
        axis.legend(loc="upper right")
        alt += f", vetoed below {entry['threshold']:.3g}: {entry.get('vetoed', 'not known')}"
    axis.set_title(site)
    axis.set_xlabel("distance to nearest own training image")
    axis.set_ylabel("synthetic images")
    axis.grid(axis="x", visible=False)
    return to_chart(figure, f"{alt}.")
