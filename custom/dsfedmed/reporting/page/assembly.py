# SPDX-License-Identifier: Apache-2.0
"""The whole page from its parts and the template."""

from __future__ import annotations

from importlib import resources
from string import Template
from typing import Any

from dsfedmed.reporting.methods import ONLY_OF, display_name
from dsfedmed.reporting.page import cost, images, overview, progress, result_tables
from dsfedmed.reporting.page.html import Markup, Section, join, nothing, table, tag, text, tree
from dsfedmed.reporting.record import Record


def page(record: Record, results: dict[str, Any]) -> str:
    """Return the report as one self-contained HTML text: no script, nothing from elsewhere."""
    sections = (
        overview.what_ran(record, results),
        result_tables.main_table(results),
        result_tables.comparisons(results),
        progress.curves(record),
        images.overlays(record),
        *((images.synthetic(record), progress.learnability(record)) if ONLY_OF["synthetic"] == record.method else ()),
        cost.ledger(record, results),
        cost.stages(record, results),
        progress.events(results),
        _settings(record, results),
    )
    links = join(tag("a", section.title, href=f"#{section.anchor}") for section in sections)
    body = join(tag("section", tag("h2", s.title), s.body, id=s.anchor) for s in sections)
    return Template(_resource("page.html")).substitute(
        title=text(f"{results['name']}: {display_name(results['method'])} report"),
        css=_resource("page.css"),
        header=overview.header(results),
        links=links,
        body=body,
    )


def _settings(record: Record, results: dict[str, Any]) -> Section:
    """Return the preset as it ran, and the versions."""
    config = record.mapping("config")
    shown = tree(config) if config else nothing("No configuration was recorded.")
    versions = (
        table(("Software", "Version"), sorted(results["versions"].items())) if results["versions"] else Markup("")
    )
    return Section("settings", "Settings", join((versions, tag("details", tag("summary", "Preset as it ran"), shown))))


def _resource(name: str) -> str:
    """Return a text file of this package."""
    return resources.files("dsfedmed.reporting.page").joinpath(name).read_text(encoding="utf-8")
