# SPDX-License-Identifier: Apache-2.0
"""The report's page from its parts."""

from __future__ import annotations

from typing import Any

from dsfedmed.reporting.methods import ONLY_OF, display_name
from dsfedmed.reporting.page import cost, images, overview, progress, result_tables
from dsfedmed.reporting.page.cases import left_out, overlays
from dsfedmed.reporting.page.cross_site import cross_site
from dsfedmed.reporting.page.html import Markup, Section, join, nothing, table, tag, tree
from dsfedmed.reporting.page.image_by_image import image_by_image
from dsfedmed.reporting.page.whole import whole_page
from dsfedmed.reporting.page.words import words
from dsfedmed.reporting.record import Record


def page(record: Record, results: dict[str, Any], cases: bool = True) -> str:
    """Return the report as one self-contained HTML text: no script, nothing from elsewhere.

    Args:
        record: of the run.
        results: made from it.
        cases: show pictures of the sites' cases, with their names, where they lie on this disk.
    """
    sections = (
        overview.what_ran(record, results),
        result_tables.main_table(results),
        result_tables.comparisons(results),
        *cross_site(results),
        progress.curves(record),
        image_by_image(record, results),
        overlays(record) if cases else left_out(),
        *((images.synthetic(record), progress.learnability(record)) if ONLY_OF["synthetic"] == record.method else ()),
        cost.ledger(record, results),
        cost.stages(record, results),
        progress.events(results),
        _settings(record, results),
        words(),
    )
    title = f"{results['name']}: {display_name(results['method'])} report"
    written = Markup("<code>dsfedmed report</code> from the run's record")
    return whole_page(title, overview.header(results), sections, written)


def _settings(record: Record, results: dict[str, Any]) -> Section:
    """Return the preset as it ran, and the versions."""
    config = record.mapping("config")
    shown = tree(config) if config else nothing("No configuration was recorded.")
    versions = (
        table(("Software", "Version"), sorted(results["versions"].items())) if results["versions"] else Markup("")
    )
    return Section("settings", "Settings", join((versions, tag("details", tag("summary", "Preset as it ran"), shown))))
