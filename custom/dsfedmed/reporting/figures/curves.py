# SPDX-License-Identifier: Apache-2.0
"""Validation Dice and training loss over the rounds."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes

from dsfedmed.reporting.figures.style import Chart, new_chart, styled, to_chart
from dsfedmed.reporting.methods import colour, display_name

Points = list[dict[str, Any]]


@styled
def curve_charts(curves: dict[str, Points], selected: dict[str, Any]) -> list[Chart]:
    """Return validation Dice over rounds and over gradient steps, and the training loss; none without points.

    The thick line is the mean over the source sites, the faint ones are the sites, the ring is the round
    that validation chose.
    """
    curves = {method: points for method, points in curves.items() if points}
    if not curves:
        return []
    return [
        _chart(curves, selected, "Validation Dice, %", ("validation", 100.0), "round"),
        _chart(curves, selected, "Validation Dice, %", ("validation", 100.0), "local_steps"),
        _chart(curves, {}, "Training loss on real images", ("loss", 1.0), "round"),
    ]


def _chart(curves: dict[str, Points], selected: dict[str, Any], title: str, what: tuple[str, float], x: str) -> Chart:
    """One value (key and scale) of all methods over rounds or steps."""
    figure, axis = new_chart(3.0)
    said = []
    for method, points in curves.items():
        means = _lines(axis, method, points, x, *what)
        _ring(axis, method, means, selected.get(method))
        if means:
            said.append(f"{display_name(method)} {means[0][1]:.3g} to {means[-1][1]:.3g}")
    if what[0] == "validation":
        axis.set_ylim(*_dice_range(curves))
    label = "training steps" if x == "local_steps" else "round"
    axis.set_title(title)
    axis.set_xlabel(label)
    handles, labels = axis.get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=2)
    over = f"{title} over the {'steps' if x == 'local_steps' else 'rounds'}, first to last"
    return to_chart(figure, f"{over}: {'; '.join(said) or 'no values'}.")


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


def _ring(
    axis: Axes, method: str, means: list[tuple[float, float, dict[str, Any]]], selected: dict[str, Any] | None
) -> None:
    """Ring the chosen round on the line of means."""
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
