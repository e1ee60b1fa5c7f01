# SPDX-License-Identifier: Apache-2.0
"""Put several finished runs into one markdown table: mean over seeds, standard deviation, both comparisons.

Runs of the same preset, sites and unseen site form one table. Example:
  python -m dsfedmed_benchmarks seeds-table runs/us_seed0 runs/us_seed1 runs/us_seed2 --out table.md
"""

from __future__ import annotations

import argparse
from pathlib import Path

from dsfedmed.reporting.results import load_results
from dsfedmed.store.files import write_text
from dsfedmed_benchmarks.studies.seeds_table import markdown_table


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run folders that hold results.json")
    parser.add_argument("--out", type=Path, help="write the table to this file instead of the terminal")


def run(args: argparse.Namespace) -> int:
    """Read every run's results and print or write the table."""
    table = markdown_table([load_results(folder) for folder in args.runs])
    if args.out is None:
        print(table, end="")
    else:
        write_text(args.out, table)
    return 0
