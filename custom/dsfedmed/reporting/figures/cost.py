# SPDX-License-Identifier: Apache-2.0
"""What the run cost: bytes per stage beside FedSAM's, and time per stage."""

from __future__ import annotations

from typing import Any

from dsfedmed.reporting.figures.style import DOWN, INK, UP, new_figure, styled, to_svg
from dsfedmed.reporting.methods import colour, display_name
from dsfedmed.reporting.units import byte_text, seconds_text

MIB = 2**20


@styled
def bytes_figure(block: dict[str, Any], method: str = "dsfedmed") -> str | None:
    """Return bytes per stage (left) and the total beside FedSAM's (right) as SVG; None without entries."""
    stages = block["per_stage"]
    if not stages:
        return None
    figure, (left, right) = new_figure(10.4, max(2.4, 1.1 + 0.34 * len(stages)), 2, width_ratios=(1.7, 1))
    for row, sums in enumerate(stages.values()):
        left.barh(row, sums["up"] / MIB, color=UP, height=0.62, label="up" if not row else None)
        left.barh(
            row, sums["down"] / MIB, left=sums["up"] / MIB, color=DOWN, height=0.62, label="down" if not row else None
        )
        left.annotate(
            byte_text(sums["up"] + sums["down"]),
            ((sums["up"] + sums["down"]) / MIB, row),
            (4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color=INK,
        )
    left.set_yticks(range(len(stages)), list(stages))
    left.set_ylim(len(stages) - 0.5, -0.5)
    left.set_title("Through NVFlare, by stage")
    left.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderaxespad=0.2)
    totals = [(display_name(method), block["up"] + block["down"], colour(method))]
    if block["fedsam_equivalent"]:
        totals.append(("FedSAM", block["fedsam_equivalent"], colour("fedsam")))
    for row, (_, count, shade) in enumerate(totals):
        right.barh(row, count / MIB, color=shade, height=0.5)
        right.annotate(
            byte_text(count), (count / MIB, row), (4, 0), textcoords="offset points", va="center", fontsize=8
        )
    right.set_yticks(range(len(totals)), [name for name, _, _ in totals])
    right.set_ylim(len(totals) - 0.4, -0.6)
    right.set_title("In all")
    for axis in (left, right):
        axis.set_xlabel("MiB")
        axis.grid(axis="y", visible=False)
        axis.margins(x=0.22)
    return to_svg(figure)


@styled
def stages_figure(stages: dict[str, float]) -> str | None:
    """Return the time per stage as SVG bars; None without stages."""
    if not stages:
        return None
    figure, (axis,) = new_figure(10.4, 0.8 + 0.3 * len(stages))
    minute = max(stages.values()) >= 120
    scale = 60 if minute else 1
    axis.barh(range(len(stages)), [seconds / scale for seconds in stages.values()], color="#0b7285", height=0.62)
    for row, seconds in enumerate(stages.values()):
        axis.annotate(
            seconds_text(seconds), (seconds / scale, row), (4, 0), textcoords="offset points", va="center", fontsize=8
        )
    axis.set_yticks(range(len(stages)), list(stages))
    axis.set_ylim(len(stages) - 0.4, -0.6)
    axis.set_xlabel("minutes" if minute else "seconds")
    axis.grid(axis="y", visible=False)
    axis.margins(x=0.12)
    return to_svg(figure)
