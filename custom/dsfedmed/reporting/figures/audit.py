# SPDX-License-Identifier: Apache-2.0
"""How close synthetic images come to each site's own training images."""

from __future__ import annotations

from typing import Any

import numpy as np

from dsfedmed.reporting.figures.style import SITE_COLOURS, new_figure, styled, to_svg


@styled
def audit_figure(audit: dict[str, Any]) -> str | None:
    """Return one histogram of nearest distances per site, with the veto threshold, as SVG; None without sites."""
    known = {site: entry for site, entry in audit.items() if entry.get("distances")}
    if not known:
        return None
    figure, axes = new_figure(10.4, 2.5, len(known))
    for index, (axis, (site, entry)) in enumerate(zip(axes, known.items(), strict=True)):
        edges = np.asarray(entry["distances"]["edges"], dtype=float)
        counts = np.asarray(entry["distances"]["counts"], dtype=float)
        shade = SITE_COLOURS[index % len(SITE_COLOURS)]
        axis.bar(edges[:-1], counts, width=np.diff(edges), align="edge", color=shade, alpha=0.75)
        if entry.get("threshold") is not None:
            axis.axvline(entry["threshold"], color="#c92a2a", linewidth=1.6, label="veto below")
            axis.legend(loc="upper right")
        axis.set_title(site)
        axis.set_xlabel("distance to nearest own training image")
        axis.grid(axis="x", visible=False)
    axes[0].set_ylabel("synthetic images")
    return to_svg(figure)
