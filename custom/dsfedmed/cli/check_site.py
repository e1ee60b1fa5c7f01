# SPDX-License-Identifier: Apache-2.0
"""Open every file of a site folder and say what is wrong, file by file.

The same image in training and in test is an error (the same file, bytes or pixels) or a warning (nearly the same);
with several folders their images are compared with each other as well. All of it happens on this machine.

--pictures writes a page with the images, the outlines of their masks, and what stands out. It holds patient images: it
is for the hospital alone and not to be sent.

Exit status 0: no errors (warnings are for you to judge); 1: errors, each with its fix.

Examples:
  dsfedmed check-site /data/our_hospital
  dsfedmed check-site workspace/sites/site_a workspace/sites/site_b
  dsfedmed check-site /data/our_hospital --pictures our_hospital.html
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dsfedmed.errors import ConfigError
from dsfedmed.installation.extras import require_extras

if TYPE_CHECKING:
    from dsfedmed.data.checks import Finding, SiteCheck
    from dsfedmed.data.review.items import Progress, ReviewedItem

SECONDS_BETWEEN_LINES = 5.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("folders", nargs="+", metavar="FOLDER", help="site folder with a datalist.json")
    parser.add_argument(
        "--pictures", type=Path, metavar="OUT",
        help="write a page of pictures: OUT.html, or for several sites a folder with one page each",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Check each folder, print its tables, write its page, and return 1 when any has errors."""
    from dsfedmed.data.review.findings import across_findings
    from dsfedmed.data.review.meant import require_site
    from dsfedmed.data.review.whole_site import check_whole_site

    folders = list(dict.fromkeys(args.folders))
    for folder in folders:
        require_site(Path(folder))
    if args.pictures is not None:
        require_extras("report")
    pages = {} if args.pictures is None else _pages(args.pictures, folders)
    findings: list[Finding] = []
    sites: dict[str, Sequence[ReviewedItem]] = {}
    for folder in folders:
        check, sites[folder] = check_whole_site(folder, _progress(folder))
        print("\n".join(_lines(folder, check)))
        if folder in pages:
            print(f"  {_written(pages[folder], check, sites[folder])}")
        findings += check.findings
    if len(sites) > 1:
        across = across_findings(sites)
        findings += across
        print("\n".join(["the sites together", *_finding_lines(across), "in all", _finding_lines(findings)[-1]]))
    return int(any(finding.level == "error" for finding in findings))


def _pages(out: Path, folders: Sequence[str]) -> dict[str, Path]:
    """Return where the page of each folder is written.

    Raises:
        ConfigError: one file for several sites, or two folders of one name.
    """
    if out.suffix.lower() in (".html", ".htm"):
        if len(folders) > 1:
            raise ConfigError("--pictures", f"{out} is one page and there are {len(folders)} sites", "Name a folder.")
        return {folders[0]: out}
    pages = {folder: out / f"{Path(folder).resolve().name}.html" for folder in folders}
    if len(set(pages.values())) < len(pages):
        raise ConfigError("--pictures", "two folders have the same name", "Write their pages one by one.")
    return pages


def _written(path: Path, check: SiteCheck, items: Sequence[ReviewedItem]) -> str:
    """Write a site's page and return what to say of it."""
    from dsfedmed.reporting.site_page.page import site_page
    from dsfedmed.store.files import write_text

    if check.datalist is None:
        return f"no page of pictures: {check.findings[0].where} has to be corrected first"
    write_text(path, site_page(check.datalist, items, check.findings))
    return f"{path}: for this hospital alone, it shows patient images"


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
    if check.kinds:
        kinds = sorted(check.kinds.items(), key=lambda pair: (-pair[1], pair[0]))
        shown = "; ".join(f"{count} {kind}" for kind, count in kinds[:4])
        lines.append(f"  masks: {shown}" + ("; ..." if len(kinds) > 4 else ""))
    return lines + _finding_lines(check.findings)


def _finding_lines(findings: Sequence[Finding]) -> list[str]:
    """Return findings and their count as text."""
    lines = []
    for finding in findings:
        lines += [f"  {finding.level.upper():<8}{finding.where}", f"          {finding.reason}. {finding.fix}"]
    count = {level: sum(finding.level == level for finding in findings) for level in ("error", "warning")}
    return [*lines, "  " + ", ".join(f"{n} {level}{'' if n == 1 else 's'}" for level, n in count.items())]
