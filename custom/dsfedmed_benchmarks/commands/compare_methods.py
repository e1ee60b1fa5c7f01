# SPDX-License-Identifier: Apache-2.0
r"""Run every method on the same sites, splits and seeds, and write one table and one picture.

Each site is held out in turn (or those named by --unseen). A complete run is not done again and an interrupted one is
resumed: repeat the command until all runs are complete. Table and picture are written after each of them. A table of
many hours can be made on more than one machine: with --records FOLDER each complete run's record is copied to that
folder, and a run whose record is there is not done again. --records ARCHIVE.tar.gz/PART reads committed records;
`pack-records` adds new ones to them.

Examples:
  python -m dsfedmed_benchmarks compare-methods --sites DIR --teacher teacher.safetensors --out runs/benchmark
  python -m dsfedmed_benchmarks compare-methods --sites DIR --teacher teacher.safetensors --out runs/benchmark \
      --records docs/results/records.tar.gz/breast_us --only-table
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dsfedmed.federated.party.layout import require_sites
from dsfedmed.store.files import write_text
from dsfedmed_benchmarks.studies.benchmark import benchmark_rows, complete_runs
from dsfedmed_benchmarks.studies.benchmark_figure import benchmark_figure
from dsfedmed_benchmarks.studies.benchmark_settings import require_same_settings
from dsfedmed_benchmarks.studies.benchmark_table import benchmark_markdown
from dsfedmed_benchmarks.studies.study import JobRun, Study, job_run, records_argument

METHODS = ("pfedsam", "samfed", "dsfedmed")
TABLE, PICTURE = "benchmark.md", "benchmark.svg"


@dataclass(frozen=True)
class Cell:
    """One run: a workflow, a held-out site, a seed, and the site whose labels SAM-Fed may see."""

    method: str
    unseen: str
    seed: int
    label_site: str

    @property
    def name(self) -> str:
        """Name of its run folder."""
        return f"{self.method}-{self.unseen}-{self.seed}"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--sites", type=Path, required=True, help="folder with one folder per site")
    parser.add_argument("--teacher", type=Path, help="teacher weights, for every method that has a teacher")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs, the table and the picture")
    parser.add_argument("--records", type=Path, metavar="PATH", help="records of complete runs: DIR, or ARCHIVE/PART")
    parser.add_argument("--unseen", nargs="+", metavar="SITE", help="sites to hold out, one after another (all)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], metavar="N", help="seeds (0 1 2)")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), help="workflows (all)")
    parser.add_argument("--preset", default="benchmark", help="preset of every job (benchmark)")
    parser.add_argument("--label-site", metavar="SITE", help="SAM-Fed's labels (the first site that is not held out)")
    parser.add_argument("--jobs", type=Path, default=Path("jobs"), help="folder of the jobs (jobs)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override one setting of all")
    parser.add_argument("--server-threads", type=int, default=2, help="CPU threads of the server (2)")
    parser.add_argument("--only-table", action="store_true", help="run nothing; table and picture of what is there")


def run(args: argparse.Namespace) -> int:
    """Do what is missing; return 0 when every run is complete."""
    study = Study(tuple(job_of(args, cell) for cell in plan_cells(args)), args.out, records_argument(args.records))
    require_same_settings(study.found())  # before hours of work, and again as runs are added
    if not args.only_table:
        study.make(lambda: write_benchmark(study))
    write_benchmark(study)
    print((args.out / TABLE).read_text(encoding="utf-8"))
    for lacking in study.lacking():
        print(f"not complete: {lacking.name}; the same command resumes it", file=sys.stderr)
    return 1 if study.lacking() else 0


def plan_cells(args: argparse.Namespace) -> Iterator[Cell]:
    """Yield the runs, seed by seed: an interrupted table then has whole seeds.

    Raises:
        ConfigError: a site is named that is not there.
    """
    asked = [*(args.unseen or []), *([args.label_site] if args.label_site else [])]
    names = require_sites(args.sites, asked, "compare-methods")
    for seed in args.seeds:
        for unseen in args.unseen or names:
            sources = [name for name in names if name != unseen]
            label = args.label_site if args.label_site in sources else sources[0]
            for method in args.methods:
                yield Cell(method, unseen, seed, label)


def job_of(args: argparse.Namespace, cell: Cell) -> JobRun:
    """Return a cell's run."""
    words = ["--unseen", cell.unseen, "--preset", args.preset, "--seed", str(cell.seed)]
    words += ["--server-threads", str(args.server_threads)]
    words += ["--teacher", str(args.teacher)] if args.teacher else []
    words += ["--label-site", cell.label_site] if cell.method == "samfed" else []
    words += [word for text in args.set for word in ("--set", text)]
    return job_run(cell.name, args.jobs, cell.method, args.sites, words)


def write_benchmark(study: Study) -> None:
    """Write table and picture of the runs that are there.

    Raises:
        ConfigError: the runs differ in their settings or teacher weights.
    """
    records = study.found()
    require_same_settings(records)
    runs = complete_runs(records)
    write_text(study.out / TABLE, benchmark_markdown(runs, records))
    if (picture := benchmark_figure(benchmark_rows(runs))) is not None:
        write_text(study.out / PICTURE, picture)
