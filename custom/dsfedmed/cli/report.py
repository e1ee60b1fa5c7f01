# SPDX-License-Identifier: Apache-2.0
"""Write a run's results.json and report.html again from its record.json, and print the summary.

Works on an unfinished run as well: the report then says what is missing. Example:
  dsfedmed report runs/demo
  dsfedmed report runs/demo --no-cases     # for passing on: no picture and no name of a case
"""

from __future__ import annotations

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="the folder given to the job as --out")
    no_cases = "leave out pictures and names of the sites' cases, so that the report may be passed on"
    parser.add_argument("--no-cases", action="store_true", help=no_cases)


def run(args: argparse.Namespace) -> int:
    """Build both files and print the summary table."""
    from dsfedmed.reporting.report import REPORT_NAME, build_report
    from dsfedmed.reporting.results import RESULTS_NAME
    from dsfedmed.reporting.terminal import summary_text

    results = build_report(args.run_folder, cases=not args.no_cases)
    print(summary_text(results))
    print(f"\n{args.run_folder / RESULTS_NAME}\n{args.run_folder / REPORT_NAME}")
    return 0
