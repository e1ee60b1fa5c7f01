# SPDX-License-Identifier: Apache-2.0
"""The same test cases under every method, side by side: where the method lost most, gained most, and the middle."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from dsfedmed.methods import MODELS
from dsfedmed.reporting.methods import display_name
from dsfedmed.reporting.page.html import Markup, Section, base64_of, figure, image, join, note, nothing, tag
from dsfedmed.reporting.pictures import Picture, read_picture_index
from dsfedmed.reporting.record import Record
from dsfedmed.reporting.units import signed

RANKS = ("worst", "best", "median")
"""In the order of the page: what speaks against the method comes first."""
QUALITY, SIDE = 82, 320
"""Of the pictures on the page: JPEG quality, and pixels of the longer side."""


def overlays(record: Record) -> Section:
    """Return three cases of every site whose pictures lie on this disk, a row each, a picture for every method."""
    parts = []
    for site in record.all_sites:
        pictures = read_picture_index(_folder(record, site))
        if pictures:
            role = tag("span", "unseen", css="role unseen") if site in record.unseen else Markup("")
            parts += [tag("h3", site, role), *_rows(record, site, pictures)]
    if not parts:
        return Section("cases", "Cases", nothing("No pictures here: in a real federation they stay at the sites."))
    key = note(
        Markup('<i class="line" style="background:#00d6ff"></i>'),
        "drawn by the expert ",
        Markup('<i class="line" style="background:#ff7020"></i>'),
        "predicted (further classes have their own shades). The same test cases under every method; of each site the "
        "one where the run's method lost most against what it is held against, the one where it gained most, and the "
        "middle one. These pictures lie in the site's own folder on this disk; they do not cross the wire.",
    )
    return Section("cases", "Cases", join((key, *parts)))


def left_out() -> Section:
    """Return the section of a report that may be passed on: it has no picture and no name of a case."""
    return Section("cases", "Cases", nothing("Left out: pictures and names of cases stay at the sites (--no-cases)."))


def _folder(record: Record, site: str) -> Path:
    return record.run / "sites" / record.names_that_travel[site] / "pictures"


def _rows(record: Record, site: str, pictures: Sequence[Picture]) -> list[Markup]:
    """One row a case."""
    folder = _folder(record, site)
    order = {method.key: position for position, method in enumerate(MODELS)}
    rows = []
    for rank in RANKS:
        chosen = sorted((p for p in pictures if p.rank == rank), key=lambda p: order.get(p.method, len(order)))
        if chosen:
            title = _title(record, chosen)
            cells = [_picture(folder / p.file, p, f"{site}: {title}") for p in chosen]
            rows.append(tag("div", tag("h4", title), tag("div", *cells, css="row"), css="case-row"))
    return rows


def _title(record: Record, chosen: Sequence[Picture]) -> str:
    """Return which case it is, and what the method is held against there: the one that the difference fits."""
    first = chosen[0]
    shown = f"; {first.shown}" if first.shown else ""
    if first.difference is None:
        return f"{first.rank.capitalize()} case by Dice ({first.case}){shown}"
    ours = next((p.dice for p in chosen if p.method == record.method), 0.0)
    gaps = {p.method: abs(ours - p.dice - first.difference) for p in chosen if p.method != record.method}
    against = display_name(min(gaps, key=lambda key: gaps[key])) if gaps else "the baseline"
    words = {"worst": "Worst", "best": "Best", "median": "Middle"}[first.rank]
    return f"{words} against {against}: {signed(100 * first.difference)} Dice points ({first.case}){shown}"


def _picture(path: Path, picture: Picture, title: str) -> Markup:
    """One method's prediction; on the page as JPEG, a fifth of the bytes."""
    buffer = io.BytesIO()
    with Image.open(path) as found:
        small = found.convert("RGB")
        small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        small.save(buffer, "JPEG", quality=QUALITY, subsampling=0)
    name, dice = display_name(picture.method), f"Dice {100 * picture.dice:.1f} %"
    alt = f"{title}. {name}: outlines of expert and prediction, {dice}"
    return figure(image(base64_of("jpeg", buffer.getvalue()), alt), join((tag("b", name), tag("span", dice))), "case")
