# SPDX-License-Identifier: Apache-2.0
"""Give the run records of version 0.3 the key names of version 0.4; no value is touched.

Every record of OLD/RUN/record.json is written to NEW/RUN/record.json, which must not exist, and its SHA-256 before the
renaming is printed: `undo` brings exactly that file back. Records that runs of 0.4 wrote need no migration. Example:
  python -m dsfedmed_benchmarks.migrate_records old_records new_records
  python -m dsfedmed_benchmarks pack-records new_records --into docs/results/records.tar.gz/breast_us
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dsfedmed.cli.main import exit_status
from dsfedmed.errors import StoreError
from dsfedmed.reporting.record import RECORD_NAME
from dsfedmed.store.files import read_json, write_bytes

RENAMED = (
    ("config.schedule.every", "interval_rounds"),
    ("config.schedule.at", "distil_at"),
    ("config.waits.after_enough_s", "straggler_grace_s"),
    ("config.waits.after_absence_s", "returning_grace_s"),
    ("config.waits", "timeouts"),
    ("config.generator_model.foundation", "base"),
    ("config.light_overrides", "light_settings"),
    ("teacher.foundation", "teacher_weights"),
    ("foundation", "teacher_weights"),
    ("teacher_heard", "rounds_with_teacher"),
    ("taken_over", "reused"),
)
"""Keys by the path they had, in the order of renaming, and their names now."""
RENAMED_RUNS = {"no_foundation": "no_teacher_weights"}
"""Rows of the ablation that have another name now, as their runs' folders begin. A record's own ``name`` stays."""
MIGRATE = "Rename its keys: python -m dsfedmed_benchmarks.migrate_records OLD NEW"


def migrate(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record with the key names of 0.4."""
    renamed: dict[str, Any] = dict(record)
    for path, new in RENAMED:
        *above, old = path.split(".")
        renamed = _rename(renamed, above, old, new)
    return renamed


def undo(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a migrated record with the key names of 0.3."""
    renamed: dict[str, Any] = dict(record)
    for path, new in reversed(RENAMED):
        *above, old = path.split(".")
        renamed = _rename(renamed, above, new, old)
    return renamed


def require_current(record: Mapping[str, Any], where: Path) -> None:
    """Refuse a record that has a key of 0.3.

    Raises:
        StoreError: naming the key and its name now.
    """
    for path, new in RENAMED:
        *above, old = path.split(".")
        found: Any = record
        for key in above:
            found = found.get(key) if isinstance(found, Mapping) else None
        if isinstance(found, Mapping) and old in found:
            raise StoreError(where, f"is of version 0.3: '{path}' was renamed to '{new}'", MIGRATE)


def run_name(name: str) -> str:
    """Return the name of a run's folder now."""
    for old, new in RENAMED_RUNS.items():
        if name.startswith(f"{old}-"):
            return new + name.removeprefix(old)
    return name


def sha256_of(record: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a record as it is kept: one line of JSON, its keys sorted."""
    return hashlib.sha256((json.dumps(record, sort_keys=True) + "\n").encode()).hexdigest()


def migrate_folder(old: Path, new: Path) -> dict[str, str]:
    """Write the migrated records of ``old`` to ``new``; return the SHA-256 of each old one by the run's name now.

    Raises:
        StoreError: there is no record in ``old``, one cannot be read, or one is in ``new`` already.
    """
    digests: dict[str, str] = {}
    for path in sorted(old.glob(f"*/{RECORD_NAME}")):
        name, record = run_name(path.parent.name), dict(read_json(path))  # as kept: a report shows sites' own names
        target = new / name / RECORD_NAME
        if target.exists():
            raise StoreError(target, "is there already", "Give a new folder")
        write_bytes(target, (json.dumps(migrate(record), sort_keys=True) + "\n").encode())
        digests[name] = sha256_of(record)
    if not digests:
        raise StoreError(old, f"holds no RUN/{RECORD_NAME}", "Give the folder that has one sub-folder a run")
    return digests


def main(argv: Sequence[str] | None = None) -> int:
    """Migrate one folder of records."""
    parser = argparse.ArgumentParser(
        prog="python -m dsfedmed_benchmarks.migrate_records",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("old", type=Path, metavar="OLD", help="folder of the records of 0.3")
    parser.add_argument("new", type=Path, metavar="NEW", help="folder to write")
    args = parser.parse_args(argv)

    def run() -> int:
        for name, sha256 in migrate_folder(args.old, args.new).items():
            print(f"{sha256}  {name}/{RECORD_NAME}")
        return 0

    return exit_status("migrate_records", run)


def _rename(values: Mapping[str, Any], above: Sequence[str], old: str, new: str) -> dict[str, Any]:
    """Return ``values`` with one key below ``above`` renamed, in its place; unchanged where it is not there."""
    if above:
        inner = values.get(above[0])
        if not isinstance(inner, Mapping):
            return dict(values)
        return {**values, above[0]: _rename(inner, above[1:], old, new)}
    if old in values and new in values:
        raise StoreError("record", f"has both '{old}' and '{new}'", "Remove the one that is not meant")
    return {new if key == old else key: value for key, value in values.items()}


if __name__ == "__main__":
    sys.exit(main())
