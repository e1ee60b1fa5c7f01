# SPDX-License-Identifier: Apache-2.0
"""Read every image file that installed packages bring, and show what was read.

Nothing is downloaded. Each file is compared with its own library's plain reading where there is one; contact sheets
are for a person's eyes. The status is 1 if a file is neither read nor refused. Example:
  python -m dsfedmed_benchmarks read-corpora --out runs/corpora --table docs/results/corpora.json
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

from dsfedmed.errors import ConfigError
from dsfedmed_benchmarks.corpora.packaged import packaged_files
from dsfedmed_benchmarks.corpora.reading import TRACEBACK, read_packaged
from dsfedmed_benchmarks.corpora.sheets import write_sheets
from dsfedmed_benchmarks.corpora.table import table_of


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the contact sheets")
    parser.add_argument("--table", type=Path, metavar="FILE.json", help="table (default: corpora.json in --out)")
    parser.add_argument("--also", type=Path, nargs="+", default=[], metavar="FOLDER", help="folders of more packages")
    parser.add_argument("--package", nargs="+", metavar="NAME", help="these packages only")
    parser.add_argument("--looked", default="", metavar="TEXT", help="what a person saw on the sheets, for the table")


def run(args: argparse.Namespace) -> int:
    """Read the files, write sheets and table; 1 if one ended in a traceback.

    Raises:
        ConfigError: no package brings a picture, or ``table`` is no .json file.
    """
    table = args.table if args.table is not None else args.out / "corpora.json"
    if table.suffix != ".json":
        raise ConfigError(table, "is no .json file", "Write, for example, runs/corpora.json")
    names = None if args.package is None else {name.lower() for name in args.package}
    files = [one for one in packaged_files(args.also) if names is None or one.package.split()[0].lower() in names]
    if not files:
        raise ConfigError("read-corpora", "no installed package brings a picture", "Name others with --package")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        readings = [read_packaged(file) for file in files]
    result = table_of(readings, table.stem, args.looked)
    print(result.to_markdown())
    for path in (*write_sheets(readings, args.out), *result.write(table.parent)):
        print(path)
    return int(any(reading.outcome == TRACEBACK for reading in readings))
