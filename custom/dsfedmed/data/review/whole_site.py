# SPDX-License-Identifier: Apache-2.0
"""Everything that is checked of one site: its files one by one, and its images beside each other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dsfedmed.data.checks import SiteCheck, by_gravity, inspect_site
from dsfedmed.data.review.findings import site_findings
from dsfedmed.data.review.items import Progress, ReviewedItem, review_items


def check_whole_site(folder: str | Path, progress: Progress | None = None) -> tuple[SiteCheck, list[ReviewedItem]]:
    """Return all findings of a site, errors first, and its images as read.

    Args:
        folder: of the site, with a datalist.json.
        progress: told after each image of the second reading.
    """
    check = inspect_site(folder)
    if check.datalist is None:
        return check, []
    items = review_items(check.datalist, progress)
    findings = by_gravity((*check.findings, *site_findings(check.datalist, items)))
    return replace(check, findings=tuple(findings)), items
