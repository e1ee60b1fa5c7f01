# SPDX-License-Identifier: Apache-2.0
"""Dice over rounds, seen and unseen: the method's arms and the baselines."""

from __future__ import annotations

from collections.abc import Sequence

from dsfedmed.reporting.figures.style import SITE_COLOURS, styled
from dsfedmed_benchmarks.measurement.figure import new_figure, to_svg
from dsfedmed_benchmarks.studies.tuned.outcomes import ArmResult


@styled
def tuned_rounds_figure(results: Sequence[ArmResult]) -> str | None:
    """Return two panels as SVG; None without results. Baselines are dashed, bounds dotted."""
    shown = [result for result in results if result.outcomes]
    if not shown:
        return None
    figure, axes = new_figure(9.6, 3.6, 2, sharey=True)
    names = list(dict.fromkeys(result.arm.name for result in shown))
    ticks = sorted({result.rounds for result in shown})
    for axis, group in zip(axes, ("seen", "unseen"), strict=True):
        for colour, name in zip(SITE_COLOURS, names, strict=False):
            points = sorted((r for r in shown if r.arm.name == name), key=lambda r: r.rounds)
            means = [(ticks.index(r.rounds), mean) for r in points if (mean := r.mean(group)) is not None]
            style = {"method": "-", "baseline": "--", "bound": ":"}[points[0].arm.kind]
            axis.errorbar(
                [x for x, _ in means], [mean.mean for _, mean in means], [mean.half or 0.0 for _, mean in means],
                color=colour, linestyle=style, marker="o", markersize=4, capsize=2, label=name,
            )  # fmt: skip
        axis.set_title(f"Dice, {group}")
        axis.set_xticks(range(len(ticks)), [str(tick) for tick in ticks])
        axis.set_xlabel("rounds of the light network")
    axes[0].set_ylabel("%")
    axes[1].legend(loc="lower right")
    return to_svg(figure)
