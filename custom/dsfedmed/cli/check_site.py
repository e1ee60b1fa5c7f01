# SPDX-License-Identifier: Apache-2.0
"""Open every file of a site folder and say what is wrong, file by file.

The same image in training and in test is an error (the same file, bytes or pixels) or a warning (nearly the same);
with several folders their images are compared with each other as well. All of it happens on this machine.

Exit status 0: no errors (warnings are for you to judge); 1: errors, each with its fix.

Examples:
  dsfedmed check-site /data/our_hospital
  dsfedmed check-site workspace/sites/site_a workspace/sites/site_b
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace

from dsfedmed.data.checks import Finding, SiteCheck, inspect_site
from dsfedmed.data.review.findings import across_findings, site_findings
from dsfedmed.data.review.items import Progress, ReviewedItem, review_items

NAME = "check-site"
HELP = "check site folders, file by file"
SECONDS_BETWEEN_LINES = 5.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("folders", nargs="+", metavar="FOLDER", help="site folder with a datalist.json")


def run(args: argparse.Namespace) -> int:
    """Check each folder, print its tables, and return 1 when any has errors."""
    findings: list[Finding] = []
    sites: dict[str, Sequence[ReviewedItem]] = {}
    for folder in dict.fromkeys(args.folders):
        check, sites[folder] = _checked(folder)
        print("\n".join(_lines(folder, check)))
        findings += check.findings
    if len(sites) > 1:
        across = across_findings(sites)
        print("\n".join(["the sites together", *_finding_lines(across)]))
        findings += across
    return int(any(finding.level == "error" for finding in findings))


def _checked(folder: str) -> tuple[SiteCheck, list[ReviewedItem]]:
    """Return all findings of a site, and its images as read."""
    check = inspect_site(folder)
    if check.datalist is None:
        return check, []
    items = review_items(check.datalist, _progress(folder))
    both = dict.fromkeys((*check.findings, *site_findings(check.datalist, items)))
    found = sorted(both, key=lambda finding: finding.level)
    return replace(check, findings=tuple(found)), items


def _progress(folder: str) -> Progress:
    """Return what tells on stderr how far a long site is, every few seconds."""
    last = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            print(f"{folder}: {done} of {total} images looked at", file=sys.stderr, flush=True)

    return tell


def _lines(folder: str, check: SiteCheck) -> list[str]:
    """Return the counts and findings of one site as text."""
    lines = [folder]
    if check.datalist is not None:
        labels = ", ".join(f"{value} {name}" for value, name in check.datalist.labels.items())
        lines += [f"  labels: {labels}", f"  {'part':<12}{'images':>7}{'cases':>7}{'unlabelled':>12}  label values"]
        for part, items in check.datalist.parts.items():
            cases, bare = len({item.case for item in items}), sum(item.label is None for item in items)
            values = " ".join(str(value) for value in check.observed.get(part, ())) or "-"
            lines.append(f"  {part:<12}{len(items):>7}{cases:>7}{bare:>12}  {values}")
    return lines + _finding_lines(check.findings)


def _finding_lines(findings: Sequence[Finding]) -> list[str]:
    """Return findings and their count as text."""
    lines = []
    for finding in findings:
        lines += [f"  {finding.level.upper():<8}{finding.where}", f"          {finding.reason}. {finding.fix}"]
    count = {level: sum(finding.level == level for finding in findings) for level in ("error", "warning")}
    return [*lines, f"  {count['error']} errors, {count['warning']} warnings"]
