# SPDX-License-Identifier: Apache-2.0
"""Pictures: best, median and worst cases, synthetic contact sheets and the audit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dsfedmed.methods import MODELS
from dsfedmed.reporting.figures.audit import audit_figure
from dsfedmed.reporting.methods import BY_KEY, display_name
from dsfedmed.reporting.page.html import Markup, Section, join, note, nothing, png_figure, svg_figure, table, tag
from dsfedmed.reporting.pictures import RANKS, Picture, read_picture_index, shown_channel
from dsfedmed.reporting.record import Record
from dsfedmed.reporting.units import byte_text


def overlays(record: Record) -> Section:
    """Return every site's best, median and worst cases, one row per method."""
    parts = []
    for site in record.all_sites:
        folder = record.run / "sites" / record.names_that_travel[site] / "pictures"
        pictures = read_picture_index(folder)
        if pictures:
            parts.append(
                tag("h3", site, tag("span", "unseen", css="role unseen") if site in record.unseen else Markup(""))
            )
            parts.append(_site(folder, pictures))
    if not parts:
        return Section("cases", "Cases", nothing("No pictures here: in a real federation they stay at the sites."))
    key = note(
        Markup('<i class="line" style="background:#00d6ff"></i>'),
        "drawn by the expert ",
        Markup('<i class="line" style="background:#ff7020"></i>'),
        "predicted. Best, median and worst test case of each site "
        "by Dice; further classes have their own shades. These pictures lie in the site's own folder on this disk; "
        "they do not cross the wire.",
    )
    return Section("cases", "Cases", join((key, *parts)))


def left_out() -> Section:
    """Return the section of a report that may be passed on: it has no picture and no name of a case."""
    return Section("cases", "Cases", nothing("Left out: pictures and names of cases stay at the sites (--no-cases)."))


def synthetic(record: Record) -> Section:
    """Return the synthetic set's size, its contact sheets and the sites' audit."""
    info = record.mapping("synthetic")
    parts = []
    if info:
        made, kept = info.get("count"), info.get("kept")
        size = f", {byte_text(info['bytes'])} on the wire to each site" if info.get("bytes") is not None else ""
        parts.append(
            note(
                f"{made} pairs generated, {kept} kept after the sites' audit{size}. "
                f"Each pair of pictures: the image bare, and with its mask.{_shown(record)}"
            )
        )
    sheets = {site: record.run / str(name) for site, name in (info.get("sheets") or {}).items()}
    for site, path in sheets.items():
        parts.append(tag("h3", f"In the look of {site}"))
        parts.append(
            png_figure(path, "", "sheet") if _inside(path, record.run) else nothing(f"{path.name} is not there.")
        )
    parts += [_audit(record), _scored_parts(record)]
    return Section("synthetic", "Synthetic set and audit", join(parts))


def _site(folder: Path, pictures: list[Picture]) -> Markup:
    """Rows of pictures: one per method, best to worst."""
    order = {method.key: position for position, method in enumerate(MODELS)}
    ranks = {rank: position for position, rank in enumerate(RANKS)}
    rows = []
    for method in sorted({picture.method for picture in pictures}, key=lambda key: order.get(key, len(order))):
        chosen = sorted((p for p in pictures if p.method == method), key=lambda p: ranks.get(p.rank, len(ranks)))
        cells = [png_figure(folder / p.file, _caption(p), "case") for p in chosen]
        label = tag(
            "p",
            display_name(method),
            css="label",
            style=f"border-color:{BY_KEY[method].colour if method in BY_KEY else '#555'}",
        )
        rows.append(tag("div", label, tag("div", *cells, css="row"), css="method-row"))
    return tag("div", *rows, css="method-rows")


def _caption(picture: Picture) -> str:
    shown = f"; {picture.shown}" if picture.shown else ""
    return f"{picture.rank}: Dice {100 * picture.dice:.1f} % ({picture.case}){shown}"


def _audit(record: Record) -> Markup:
    """Each site's comparison of the synthetic set with its own training images."""
    audit = record.mapping("audit")
    title = tag("h3", "Audit by the sites")
    if not audit:
        return join((title, nothing("No site has reported an audit.")))
    rows = [
        (
            site,
            entry.get("candidates", "-"),
            entry.get("vetoed", "-"),
            "-" if entry.get("threshold") is None else f"{entry['threshold']:.4g}",
        )
        for site, entry in audit.items()
    ]
    explained = note(
        "Each site measures how close every synthetic image comes to its own training images and vetoes what is closer "
        "than its own held-out images ever come. Only indices and distances leave the site."
    )
    return join(
        (
            title,
            explained,
            table(("Site", "Compared", "Vetoed", "Threshold"), rows),
            svg_figure(audit_figure(audit), ""),
        )
    )


def _scored_parts(record: Record) -> Markup:
    """Return what was found of each site's part of the set, and which parts are left out; nothing where none was."""
    scored = record.mapping("parts")
    if not scored:
        return join(())
    rows = [
        (
            site,
            _number(entry.get("dice")),
            _number(entry.get("constant")),
            _number(max((gain for other, gain in entry.get("gains", {}).items() if other != site), default=None)),
            entry.get("left_out") or "-",
        )
        for site, entry in scored.items()
    ]
    explained = note(
        "A network that has learned half of a site's part is held against the best single mask for all images, on the "
        "other half. Gain: the most validation Dice that another site wins where the part is not learned."
    )
    columns = ("Site", "Dice", "One mask for all", "Gain without it", "Left out, as it")
    return join((tag("h3", "Parts of the set"), explained, table(columns, rows)))


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _shown(record: Record) -> str:
    """Return a sentence on the channel that pictures of the synthetic set show, or nothing where they show all."""
    facts: Mapping[str, Any] = next(iter(record.mapping("facts").values()), {})
    shown = shown_channel(facts.get("channels", 1), facts.get("channel_names", ()))
    return f" Shown: {shown}." if shown else ""


def _inside(path: Path, run: Path) -> bool:
    """Whether a file named by the record exists and lies in the run folder."""
    return path.is_file() and path.resolve().is_relative_to(run.resolve())
