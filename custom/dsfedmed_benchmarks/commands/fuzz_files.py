# SPDX-License-Identifier: Apache-2.0
"""Damage files of every format and say what reading each of them comes to.

Valid files are made on the spot and damaged by number, so that each can be made again. A child process reads them and
is watched. The status is 1 if anything but reading or a refusal that names the file came of one. Examples:
  python -m dsfedmed_benchmarks fuzz-files --count 2000 --seed 0 --out docs/results/fuzz_files.json
  python -m dsfedmed_benchmarks fuzz-files --seed 0 --only 517 --keep runs/fuzz
"""

from __future__ import annotations

import argparse
from pathlib import Path

from dsfedmed.errors import ConfigError
from dsfedmed_benchmarks.fuzz.damaged import damaged
from dsfedmed_benchmarks.fuzz.table import run_trials, table_of


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--count", type=int, default=2000, help="damaged files (default: 2000)")
    parser.add_argument("--seed", type=int, default=0, help="seed of all damage (default: 0)")
    parser.add_argument("--only", type=int, nargs="+", metavar="NUMBER", help="these files instead of the first ones")
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="write the damaged files of faults, or of --only, here"
    )
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="table; a .md of the same name lies beside it")


def run(args: argparse.Namespace) -> int:
    """Read them, print and write the table; 1 if there was a fault.

    Raises:
        ConfigError: a count or number is negative, or ``out`` is no .json file.
    """
    if args.count < 1 or any(number < 0 for number in args.only or ()):
        raise ConfigError("fuzz-files", "counts and numbers run from 1 and 0", "Give --count 1 or more")
    if args.out is not None and args.out.suffix != ".json":
        raise ConfigError(args.out, "is no .json file", "Write, for example, runs/fuzz_files.json")
    trials = run_trials(args.only or range(args.count), args.seed, lambda text: print(text, flush=True))
    faults = [trial for trial in trials if trial.is_fault]
    if args.keep is not None:
        for trial in trials if args.only else faults:
            found = damaged(trial.number, args.seed)
            print(found.seed.write(args.keep / str(trial.number), found.content), trial.described())
    table = table_of(trials, args.seed, args.out.stem if args.out is not None else "fuzz_files")
    print(table.to_markdown())
    if args.out is not None:
        for path in table.write(args.out.parent):
            print(path)
    return 1 if faults else 0
