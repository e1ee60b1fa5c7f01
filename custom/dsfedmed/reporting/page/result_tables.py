# SPDX-License-Identifier: Apache-2.0
"""The main table, the two comparisons side by side, and the authors' protocol."""

from __future__ import annotations

from typing import Any

from dsfedmed.methods import MODELS, required_models
from dsfedmed.reporting.comparison import BUDGETS
from dsfedmed.reporting.figures.forest import difference_charts, method_charts
from dsfedmed.reporting.methods import baselines, comparison_name, display_name, not_compared, short_name, versus
from dsfedmed.reporting.page.html import Markup, Section, chart_figure, dot, join, note, nothing, table, tag
from dsfedmed.reporting.units import signed

METRIC_NAMES = {"dice": "Dice, %", "iou": "IoU, %", "hd95": "HD95, pixels"}


def main_table(results: dict[str, Any]) -> Section:
    """Return Dice, IoU and HD95 of every method at every site, with intervals."""
    if not results["methods"]:
        return Section("results", "Test results", nothing("No method has been tested yet."))
    body = [
        note(
            "Every image is scored at its own size: probability above 0.5, mean over classes, mean over images. "
            "Small figures are 95 % bootstrap intervals that resample patients inside each site. HD95 is in pixels, "
            "lower is better; a mask missed altogether counts the image's diagonal."
        ),
        chart_figure(method_charts(results)),
        *(join((tag("h3", name), _metric_table(results, metric))) for metric, name in METRIC_NAMES.items()),
    ]
    if len(results["label_names"]) > 1:
        body.append(_class_table(results))
    body.append(_legacy(results))
    return Section("results", "Test results", join(body))


def comparisons(results: dict[str, Any]) -> Section:
    """Return the comparisons with the method's baselines side by side."""
    wanted = baselines(results["method"])
    shown = [key for key in BUDGETS if key in wanted]
    halves = [_comparison(comparison_name(results, key), results, key) for key in shown]
    budgets = (
        "A gain that is only more training is no gain. So FedAvg is given as many rounds, as the paper does, and then "
        "as many training steps, of which DSFedMed has more in a round. "
        if len(shown) > 1
        else ""
    )
    body = (
        note(
            f"The same split and seed. {budgets}Differences are paired, image by image; an interval that contains 0 is "
            "no clear difference."
        ),
        tag("div", *halves, css="halves"),
        chart_figure(difference_charts(results), "Difference in Dice, site by site: right of 0 is better."),
    )
    names = " and ".join(dict.fromkeys(short_name(key) for key in wanted.values()))
    return Section("comparisons", f"Against {names or 'other methods'}", join(body))


def _metric_table(results: dict[str, Any], metric: str) -> Markup:
    """One metric: methods down, sites across."""
    sites, unseen = results["sites"], results["unseen"]
    groups = [("seen", "All seen")] + ([("unseen", "All unseen")] if unseen else [])
    best = {column: _best(results, metric, column) for column in (*sites, *unseen, "seen", "unseen")}
    head = ["Method", *sites, *(join((site, tag("span", "unseen", css="role unseen"))) for site in unseen)]
    rows = []
    for method in MODELS:
        entry = results["methods"].get(method.key)
        if entry is None:
            if method.key in required_models(results["method"]):
                rows.append(
                    (
                        join((dot(method.colour), method.name)),
                        *[tag("span", "not tested", css="quiet")] * (len(head) + len(groups) - 1),
                    )
                )
            continue
        cells = [
            _cell(entry["per_site"].get(site, {}).get(metric), best[site] == method.key) for site in (*sites, *unseen)
        ]
        cells += [_cell((entry[group] or {}).get(metric), best[group] == method.key) for group, _ in groups]
        start = tag("span", "untrained start", css="role") if method.key in results["untrained"] else ""
        rows.append((join((dot(method.colour), method.name, start)), *cells))
    return table([*head, *(name for _, name in groups)], rows, css=f"main last-{len(groups)}")


def _best(results: dict[str, Any], metric: str, column: str) -> str | None:
    """Return the method with the best mean in one column."""
    values: dict[str, float] = {}
    for key, entry in results["methods"].items():
        found = entry.get(column) if column in ("seen", "unseen") else entry["per_site"].get(column)
        if found:
            values[key] = found[metric]["mean"]
    if not values:
        return None
    return min(values, key=lambda key: values[key] if metric == "hd95" else -values[key])


def _cell(value: dict[str, Any] | None, best: bool) -> Markup:
    """Mean with its interval below."""
    if value is None:
        return tag("span", "-", css="quiet")
    mean = tag("b" if best else "span", f"{value['mean']:.1f}")
    return join(
        (
            mean,
            tag(
                "small",
                f"{value['low']:.1f} \N{EN DASH} {value['high']:.1f}",
                title=f"{value['n']} images of {value['cases']} patients",
            ),
        )
    )


def _class_table(results: dict[str, Any]) -> Markup:
    """Dice of each class."""
    sites, names = [*results["sites"], *results["unseen"]], results["label_names"]
    rows = []
    for method in MODELS:
        entry = results["methods"].get(method.key)
        if entry:
            found = [entry["per_site"].get(site, {}).get("dice") for site in sites]
            cells = [" / ".join(f"{mean:.1f}" for mean in value["per_class"]) if value else "-" for value in found]
            rows.append((join((dot(method.colour), method.name)), *cells))
    return join((tag("h3", f"Dice by class, % ({' / '.join(names)})"), table(("Method", *sites), rows, css="main")))


def _legacy(results: dict[str, Any]) -> Markup:
    """Return the authors' protocol, when it was asked for."""
    if not results["legacy"]:
        return Markup("")
    sites = [*results["sites"], *results["unseen"]]
    rows = [
        (
            display_name(key),
            *(
                f"{100 * found[site]['dice']:.1f} / {100 * found[site]['iou']:.1f}" if site in found else "-"
                for site in sites
            ),
        )
        for key, found in results["legacy"].items()
    ]
    return join(
        (
            tag("h3", "The authors' protocol, Dice / IoU, %"),
            note("Five thresholds on raw logits at network size, for comparison with published tables only."),
            table(("Method", *sites), rows),
        )
    )


def _comparison(name: str, results: dict[str, Any], key: str) -> Markup:
    """One half: budget, and differences seen and unseen."""
    found = results["comparisons"][key]
    if found is None:
        why = not_compared(results, baselines(results["method"])[key])
        return tag("div", tag("h3", name), nothing(f"Not compared: {why}."), css="half")
    rows = [
        (label, *(_difference(found[group][metric], metric) if found[group] else "-" for metric in METRIC_NAMES))
        for group, label in (("seen", "Seen sites"), ("unseen", "Unseen sites"))
    ]
    budget = found["budget"]
    budgets = [
        (display_name(found[side]), *(_count(budget[side][key]) for key in ("rounds", "local_steps", "selected_round")))
        for side in ("method", "baseline")
    ]
    return tag(
        "div",
        tag("h3", name),
        table(
            (versus(found["method"], found["baseline"], "\N{MINUS SIGN}"), "Dice, points", "IoU, points", "HD95, px"),
            rows,
            css="main",
        ),
        table(("Training", "rounds", "training steps", "chosen round"), budgets, css="small"),
        css="half",
    )


def _difference(value: dict[str, Any], metric: str) -> Markup:
    """Return a difference, its interval and what it means."""
    sign = -1 if metric == "hd95" else 1
    low, high = sorted((sign * value["low"], sign * value["high"]))
    verdict, css = ("better", "good") if low > 0 else ("worse", "bad") if high < 0 else ("no clear difference", "quiet")
    interval = tag("small", f"{signed(value['low'])} to {signed(value['high'])}")
    return join((tag("b", signed(value["mean"])), interval, tag("small", verdict, css=f"says {css}")))


def _count(value: int | None) -> str:
    """Return a count or a dash."""
    return "-" if value is None else f"{value:,}"
