# SPDX-License-Identifier: Apache-2.0
"""What means hide: how the Dice of the images spreads, and in how many a lesion was missed or a false alarm."""

from __future__ import annotations

from typing import Any

from dsfedmed.methods import MODELS
from dsfedmed.reporting.figures.spread import spread_charts
from dsfedmed.reporting.page.html import Markup, Section, chart_figure, dot, join, note, nothing, table, tag
from dsfedmed.reporting.record import Record


def image_by_image(record: Record, results: dict[str, Any]) -> Section:
    """Return the spread of the images' Dice, and the counts of missed lesions and false alarms."""
    charts = spread_charts(record.cases, record.all_sites)
    caption = "A dot is a test image, the bar their median. Dots at 0: nothing that the expert marked was found."
    return Section("images", "Image by image", join((chart_figure(charts, caption), _detected(results))))


def _detected(results: dict[str, Any]) -> Markup:
    """Missed lesions and false alarms, a table for each class."""
    title = tag("h3", "Missed lesions and false alarms")
    if not results["detected"]:
        return join((title, nothing("The sites have sent no counts.")))
    explained = note(
        "Missed: the expert drew it in the image and the method found nothing at all; of how many images that have it. "
        "False alarm: the method found something in an image without it; of how many. Wrong places are not counted "
        "here: their Dice is 0."
    )
    names = results["label_names"] or ["class"]
    tables: list[Markup] = []
    for place, name in enumerate(names):
        tables += [tag("h4", name)] if len(names) > 1 else []
        tables.append(_table(results, place))
    return join((title, explained, *tables))


def _table(results: dict[str, Any], place: int) -> Markup:
    """One class: methods down, sites across."""
    sites = [*results["sites"], *results["unseen"]]
    rows = []
    for method in MODELS:
        found = results["detected"].get(method.key)
        if found:
            cells = [_cell(found.get(site), place) for site in sites]
            rows.append((join((dot(method.colour), method.name)), *cells))
    return table(("Method", *sites), rows, css="main")


def _cell(counts: list[dict[str, int]] | None, place: int) -> object:
    if not counts:
        return "-"
    found = counts[place]
    missed = f"missed {found['missed']} of {found['present']}"
    alarms = f"false alarms {found['false_alarms']} of {found['absent']}" if found["absent"] else "none without it"
    return join((tag("span", missed), tag("small", alarms)))
