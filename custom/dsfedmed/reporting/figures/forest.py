# SPDX-License-Identifier: Apache-2.0
"""Test Dice of every method with its interval, and the paired differences site by site."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes

from dsfedmed.methods import MODELS, ShownModel
from dsfedmed.reporting.figures.style import INK, QUIET, Chart, new_chart, styled, to_chart
from dsfedmed.reporting.methods import comparison_name, versus
from dsfedmed.reporting.units import signed, signed_interval_text

TITLES = {"seen": "Seen sites (their test parts)", "unseen": "Unseen sites"}


@styled
def method_charts(results: dict[str, Any]) -> list[Chart]:
    """Return the mean Dice per method, seen and unseen; none when nothing was tested."""
    shown = [method for method in MODELS if method.key in results["methods"]]
    return [
        _methods(results, shown, group)
        for group in TITLES
        if any(results["methods"][method.key][group] for method in shown)
    ]


def _methods(results: dict[str, Any], shown: list[ShownModel], group: str) -> Chart:
    """One group of sites."""
    figure, axis = new_chart(0.9 + 0.36 * len(shown))
    said = []
    for row, method in enumerate(shown):
        entry = results["methods"][method.key][group]
        if entry:
            value = entry["dice"]
            _interval(axis, row, value, method.colour, f"{value['mean']:.1f}")
            said.append(f"{method.name} {value['mean']:.1f} ({value['low']:.1f} to {value['high']:.1f})")
    axis.set_title(TITLES[group])
    axis.set_xlabel("Dice, % (mean and 95 % interval)")
    _rows(axis, [method.name for method in shown])
    axis.margins(x=0.08)
    return to_chart(figure, f"{TITLES[group]}, Dice in % with 95 % interval: {'; '.join(said)}.")


@styled
def difference_charts(results: dict[str, Any]) -> list[Chart]:
    """Return the paired Dice differences of both comparisons per site; none when neither was tested."""
    found = {key: value for key, value in results["comparisons"].items() if value is not None}
    rows = [*results["sites"], *results["unseen"]]
    ends = [
        value["per_site"][site]["dice"][end]
        for value in found.values()
        for site in rows
        if value["per_site"].get(site)
        for end in ("low", "high")
    ]
    span = (min([0.0, *ends]), max([0.0, *ends]))
    return [_differences(results, key, rows, span) for key in found]


def _differences(results: dict[str, Any], key: str, rows: list[str], span: tuple[float, float]) -> Chart:
    """One comparison; both have the same axis."""
    comparison = results["comparisons"][key]
    figure, axis = new_chart(1.0 + 0.36 * len(rows))
    axis.axvline(0, color=QUIET, linewidth=1)
    said = []
    for row, site in enumerate(rows):
        entry = comparison["per_site"].get(site)
        if entry:
            value = entry["dice"]
            shade = "#2b8a3e" if value["low"] > 0 else "#c92a2a" if value["high"] < 0 else "#868e96"
            _interval(axis, row, value, shade, signed(value["mean"]))
            said.append(f"{site} {signed_interval_text(value)}")
    name = comparison_name(results, key)
    pair = versus(comparison["method"], comparison["baseline"], "\N{MINUS SIGN}")
    axis.set_title(name)
    axis.set_xlabel(f"{pair}, Dice points")
    axis.set_xlim(span[0] - 0.06 * (span[1] - span[0]) - 0.5, span[1] + 0.06 * (span[1] - span[0]) + 0.5)
    _rows(axis, [f"{site} (unseen)" if site in results["unseen"] else site for site in rows])
    return to_chart(figure, f"{name}, {pair}, Dice points with 95 % interval: {'; '.join(said)}.")


def _rows(axis: Axes, names: list[str]) -> None:
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(len(names) - 0.4, -0.7)
    axis.grid(axis="y", visible=False)


def _interval(axis: Axes, row: int, value: dict[str, Any], colour: str, text: str) -> None:
    """One dot with its interval and its number above."""
    axis.plot(
        [value["low"], value["high"]], [row, row], color=colour, linewidth=2.2, solid_capstyle="round", alpha=0.55
    )
    axis.plot([value["mean"]], [row], "o", color=colour, markersize=6.5)
    axis.annotate(
        text, (value["mean"], row), (0, 5), textcoords="offset points", ha="center", va="bottom", fontsize=8, color=INK
    )
