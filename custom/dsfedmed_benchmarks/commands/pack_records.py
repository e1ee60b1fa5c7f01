# SPDX-License-Identifier: Apache-2.0
"""Add the records of complete runs to an archive, from which tables are built without the runs.

FOLDER holds one sub-folder a run: the --out of a study, or its folder of --records. Runs that are not complete are
left out and named. The same records give the same archive to the last byte. Example:
  python -m dsfedmed_benchmarks pack-records runs/benchmark --into docs/results/records.tar.gz/breast_us
"""

from __future__ import annotations

import argparse
from pathlib import Path

from dsfedmed.errors import ConfigError
from dsfedmed_benchmarks.studies.records import PackedRecords, RecordFolder, open_records


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder with one sub-folder a run")
    parser.add_argument("--into", type=Path, required=True, metavar="ARCHIVE/PART", help="part of an archive (.tar.gz)")
    parser.add_argument("--replace", action="store_true", help="overwrite records that are there with other content")


def run(args: argparse.Namespace) -> int:
    """Add them and say what is new.

    Raises:
        ConfigError: ``folder`` holds no complete run, or ``into`` names no part of an archive.
        StoreError: a record or the archive cannot be used.
    """
    target = open_records(args.into)
    if not isinstance(target, PackedRecords):
        raise ConfigError(args.into, "is no part of an archive", "Write, for example, records.tar.gz/breast_us")
    folder = RecordFolder(args.folder)
    found = [record for name in folder.names() if (record := folder.load(name)) is not None]
    complete = [record for record in found if record.complete]
    if not complete:
        raise ConfigError(args.folder, "holds no complete run", "Give the --out or the --records of a study")
    changed = target.add(complete, args.replace)
    for record in found:
        if not record.complete:
            print(f"left out: {record.run.name}, {record.verdict}")
    print(f"{len(changed)} of {len(complete)} records are new in {args.into}")
    return 0
