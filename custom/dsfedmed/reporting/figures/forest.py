# SPDX-License-Identifier: Apache-2.0
"""Test Dice of every method with its interval, and the paired differences site by site."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes

from dsfedmed.methods import MODELS
from dsfedmed.reporting.figures.style import INK, QUIET, new_figure, styled, to_svg
from dsfedmed.reporting.methods import versus
from dsfedmed.reporting.units import signed

TITLES = {"seen": "Seen sites (their test parts)", "unseen": "Unseen sites"}


@styled
def methods_figure(results: dict[str, Any]) -> str | None:
    """Return the mean Dice per method, seen and unseen, as SVG; None when nothing was tested."""
    shown = [method for method in MODELS if method.key in results["methods"]]
    groups = [group for group in TITLES if any(results["methods"][method.key][group] for method in shown)]
    if not groups:
        return None
    figure, axes = new_figure(10.4, 0.9 + 0.36 * len(shown), len(groups), sharey=True)
    for axis, group in zip(axes, groups, strict=True):
        for row, method in enumerate(shown):
            entry = results["methods"][method.key][group]
            if entry:
                _interval(axis, row, entry["dice"], method.colour, f"{entry['dice']['mean']:.1f}")
        axis.set_title(TITLES[group])
        axis.set_xlabel("Dice, % (mean and 95 % interval)")
        axis.set_yticks(range(len(shown)), [method.name for method in shown])
        axis.set_ylim(len(shown) - 0.4, -0.7)
        axis.grid(axis="y", visible=False)
        axis.margins(x=0.08)
    return to_svg(figure)


@styled
def differences_figure(results: dict[str, Any]) -> str | None:
    """Return the paired Dice differences of both comparisons per site as SVG; None when neither was tested."""
    found = {key: value for key, value in results["comparisons"].items() if value is not None}
    if not found:
        return None
    names = {"equal_rounds": "At equal rounds", "equal_steps": "At equal gradient steps"}
    rows = [*results["sites"], *results["unseen"]]
    labels = [f"{site} (unseen)" if site in results["unseen"] else site for site in rows]
    figure, axes = new_figure(10.4, 1.0 + 0.36 * len(rows), len(found), sharey=True, sharex=True)
    for axis, (key, comparison) in zip(axes, found.items(), strict=True):
        axis.axvline(0, color=QUIET, linewidth=1)
        for row, site in enumerate(rows):
            entry = comparison["per_site"].get(site)
            if entry:
                value = entry["dice"]
                shade = "#2b8a3e" if value["low"] > 0 else "#c92a2a" if value["high"] < 0 else "#868e96"
                _interval(axis, row, value, shade, signed(value["mean"]))
        axis.set_title(names[key])
        pair = versus(comparison["method"], comparison["baseline"], "\N{MINUS SIGN}")
        axis.set_xlabel(f"{pair}, Dice points (95 % interval)")
        axis.set_yticks(range(len(rows)), labels)
        axis.set_ylim(len(rows) - 0.4, -0.7)
        axis.grid(axis="y", visible=False)
    return to_svg(figure)


def _interval(axis: Axes, row: int, value: dict[str, Any], colour: str, text: str) -> None:
    """One dot with its interval and its number above."""
    axis.plot(
        [value["low"], value["high"]], [row, row], color=colour, linewidth=2.2, solid_capstyle="round", alpha=0.55
    )
    axis.plot([value["mean"]], [row], "o", color=colour, markersize=6.5)
    axis.annotate(
        text, (value["mean"], row), (0, 5), textcoords="offset points", ha="center", va="bottom", fontsize=8, color=INK
    )
