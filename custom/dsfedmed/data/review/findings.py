# SPDX-License-Identifier: Apache-2.0
"""Copies and patients in two parts as findings of check-site."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from dsfedmed.data.checks import Finding, by_gravity
from dsfedmed.data.datalist import SiteDatalist
from dsfedmed.data.review.case_patterns import propose_cases
from dsfedmed.data.review.duplicates import Copy, SiteImage, find_copies
from dsfedmed.data.review.items import ReviewedItem

MOST_TOLD = 50
_HOW = {
    "content": "it is a copy of {other}, byte by byte",
    "pixels": "it has the same pixels as {other}",
    "near": "it looks the same as {other} (correlation {likeness:.3f})",
}


def site_findings(datalist: SiteDatalist, items: Sequence[ReviewedItem]) -> list[Finding]:
    """Return the copies within a site, and the patients that its file names show in two parts; errors first."""
    copies = find_copies([SiteImage(str(datalist.root), item) for item in items])
    return _told(copies) + case_findings(datalist)


def across_findings(sites: dict[str, Sequence[ReviewedItem]]) -> list[Finding]:
    """Return the images that stand at two of the sites, all of which lie on this machine; errors first.

    Args:
        sites: the items of each site by its folder.
    """
    images = [SiteImage(site, item) for site, items in sites.items() for item in items]
    return _told(copy for copy in find_copies(images) if copy.first.site != copy.second.site)


def case_findings(datalist: SiteDatalist) -> list[Finding]:
    """Return a warning where every file is a patient of its own and the names say otherwise across parts."""
    files: dict[Path, tuple[str, str]] = {}
    for part, items in datalist.parts.items():
        for item in items:
            files.setdefault(item.image, (part, item.case))
    if len({case for _, case in files.values()}) < len(files) or not files:
        return []
    root = os.path.commonpath([path.parent for path in files])
    names = [path.relative_to(root).as_posix() for path in files]
    proposal = propose_cases(names)
    if proposal is None:
        return []
    where: dict[str, dict[str, str]] = defaultdict(dict)
    for name, case, (part, _) in zip(names, proposal.cases, files.values(), strict=True):
        where[case].setdefault(part, name)
    split = {case: found for case, found in where.items() if len(found) > 1}
    if not split:
        return []
    case, found = next(iter(sorted(split.items())))
    shown = " and ".join(f"{name} in {part}" for part, name in found.items())
    reason = (
        f"every file is a case of its own, and the file names look like those of {proposal.patients} patients, "
        f"{len(split)} of them in more than one part ({case!r}: {shown})"
    )
    fix = f"If that is so: `dsfedmed build-datalist --case-regex '{proposal.regex}'`; if not, leave it."
    return [Finding("warning", str(datalist.root / "datalist.json"), reason, fix)]


def _told(copies: Iterable[Copy]) -> list[Finding]:
    """Return one finding per copy, errors first, and one that counts those which are too many to tell."""
    findings = by_gravity(_finding(copy) for copy in copies)
    if len(findings) <= MOST_TOLD:
        return findings
    rest = findings[MOST_TOLD:]
    text = f"{len(rest)} more images that stand twice are not listed"
    return [*findings[:MOST_TOLD], Finding(rest[0].level, "copies", text, "Correct those above, then check again.")]


def _finding(copy: Copy) -> Finding:
    """Return the finding of one copy: exact ones across parts are errors, everything else is for a person to judge."""
    across = copy.first.part != copy.second.part
    first, second = copy.first.reviewed.item, copy.second.reviewed.item
    if copy.kind == "file":
        name = "" if first.image == second.image else f" and as {first.image}"
        places = f"in {copy.first.part} as case {first.case!r} and in {copy.second.part} as case {second.case!r}"
        reason = f"one file stands twice{name}: {places}"
    else:
        other = f"{first.image} ({copy.first.part})"
        reason = f"{_HOW[copy.kind].format(other=other, likeness=copy.likeness)}, and is in {copy.second.part}"
    exact = copy.kind != "near"
    fix = "Keep one of them, or give both to one part" if exact else "Look at both; one image belongs in one part only"
    return Finding("error" if exact and across else "warning", str(second.image), reason, f"{fix}.")
