# SPDX-License-Identifier: Apache-2.0
"""Open every file of a site folder and say what is wrong, file by file.

Exit status 0: no errors (warnings are for you to judge); 1: errors, each with its fix.

Examples:
  dsfedmed check-site /data/our_hospital
  dsfedmed check-site workspace/sites/site_a workspace/sites/site_b
"""

from __future__ import annotations

import argparse

from dsfedmed.data.checks import SiteCheck, inspect_site

NAME = "check-site"
HELP = "check site folders, file by file"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("folders", nargs="+", metavar="FOLDER", help="site folder with a datalist.json")


def run(args: argparse.Namespace) -> int:
    """Check each folder, print its tables, and return 1 when any has errors."""
    failed = False
    for folder in args.folders:
        check = inspect_site(folder)
        print("\n".join(_lines(folder, check)))
        failed = failed or any(finding.level == "error" for finding in check.findings)
    return int(failed)


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
    if check.kinds:
        shown = sorted(check.kinds.items(), key=lambda pair: (-pair[1], pair[0]))
        lines.append(
            "  masks: "
            + "; ".join(f"{count} {kind}" for kind, count in shown[:4])
            + ("; ..." if len(shown) > 4 else "")
        )
    for finding in check.findings:
        lines += [f"  {finding.level.upper():<8}{finding.where}", f"          {finding.reason}. {finding.fix}"]
    count = {level: sum(finding.level == level for finding in check.findings) for level in ("error", "warning")}
    return [*lines, f"  {count['error']} errors, {count['warning']} warnings"]
