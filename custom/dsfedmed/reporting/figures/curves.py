# SPDX-License-Identifier: Apache-2.0
"""Validation Dice and training loss over the rounds."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes

from dsfedmed.reporting.figures.style import new_figure, styled, to_svg
from dsfedmed.reporting.methods import colour, display_name

Points = list[dict[str, Any]]


@styled
def curves_figure(curves: dict[str, Points], selected: dict[str, Any]) -> str | None:
    """Return validation Dice over rounds and over gradient steps, and the training loss, as SVG.

    The thick line is the mean over the source sites, the faint ones are the sites, the ring is the round
    that validation chose. None when there are no points.
    """
    curves = {method: points for method, points in curves.items() if points}
    if not curves:
        return None
    figure, (by_round, by_step, loss) = new_figure(10.4, 3.3, 3)
    for axis in (by_round, by_step):
        axis.set_ylim(*_dice_range(curves))
    for method, points in curves.items():
        _dice(by_round, method, points, "round", selected.get(method))
        _dice(by_step, method, points, "local_steps", selected.get(method))
        _lines(loss, method, points, "round", "loss", 1.0)
    for axis, title, label in (
        (by_round, "Validation Dice, %", "round"),
        (by_step, "Validation Dice, %", "gradient steps"),
        (loss, "Training loss on real images", "round"),
    ):
        axis.set_title(title)
        axis.set_xlabel(label)
    handles, labels = by_round.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=max(1, len(labels)))
    return to_svg(figure)


def _dice_range(curves: dict[str, Points]) -> tuple[float, float]:
    """Percent axis: at most 40 points below the best, or the first rounds would flatten what matters."""
    known = [
        100 * value
        for points in curves.values()
        for point in points
        for value in (point.get("validation") or {}).values()
        if value is not None
    ]
    if not known:
        return 0.0, 100.0
    return max(min(known), max(known) - 40) - 1, max(known) + 2


def _dice(axis: Axes, method: str, points: Points, x: str, selected: dict[str, Any] | None) -> None:
    """Mean and per-site validation Dice of one method, with the chosen round ringed."""
    means = _lines(axis, method, points, x, "validation", 100.0)
    at = (selected or {}).get("round")
    chosen = [(px, py) for px, py, point in means if point.get("round") == at]
    if at is not None and chosen:
        axis.plot(*zip(*chosen, strict=True), "o", markersize=8, markerfacecolor="white", color=colour(method), mew=1.8)


def _lines(
    axis: Axes, method: str, points: Points, x: str, key: str, scale: float
) -> list[tuple[float, float, dict[str, Any]]]:
    """Draw one value per site (faint) and its mean (thick); return the mean's points."""
    shade = colour(method)
    for site in dict.fromkeys(site for point in points for site in point.get(key) or {}):
        known = [(p[x], scale * p[key][site]) for p in points if _known(p, x, key, site)]
        if known:
            axis.plot(*zip(*known, strict=True), color=shade, linewidth=0.8, alpha=0.28)
    means = []
    for point in points:
        values = [value for value in (point.get(key) or {}).values() if value is not None]
        if values and point.get(x) is not None:
            means.append((point[x], scale * sum(values) / len(values), point))
    if means:
        axis.plot([m[0] for m in means], [m[1] for m in means], color=shade, linewidth=2, label=display_name(method))
    return means


def _known(point: dict[str, Any], x: str, key: str, site: str) -> bool:
    """Whether a point has both coordinates."""
    return point.get(x) is not None and (point.get(key) or {}).get(site) is not None
