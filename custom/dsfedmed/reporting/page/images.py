# SPDX-License-Identifier: Apache-2.0
"""The synthetic set: contact sheets, the sites' audit, and what was found of its parts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dsfedmed.reporting.figures.audit import audit_charts
from dsfedmed.reporting.page.html import Markup, Section, chart_figure, join, note, nothing, png_figure, table, tag
from dsfedmed.reporting.pictures import shown_channel
from dsfedmed.reporting.record import Record
from dsfedmed.reporting.units import byte_text


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
        alt = f"Synthetic images in the look of {site}, each bare and with its mask"
        there = _inside(path, record.run)
        parts.append(png_figure(path, alt, "sheet") if there else nothing(f"{path.name} is not there."))
    parts += [_audit(record), _scored_parts(record)]
    return Section("synthetic", "Synthetic set and audit", join(parts))


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
            chart_figure(audit_charts(audit)),
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
