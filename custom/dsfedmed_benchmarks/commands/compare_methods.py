# SPDX-License-Identifier: Apache-2.0
"""Run every method on the same sites, splits and seeds, and write one table and one picture.

Each site is held out in turn (or those named by --unseen). A run that is complete is not done again, and an interrupted
one goes on, so the command may be repeated until all runs are there; table and picture are written after each of them.
A table of many hours can be made on more than one machine: with --records each complete run's record is copied to that
folder, and a run whose record stands there is not done again.

Examples:
  dsfedmed benchmark --sites DIR --teacher teacher.safetensors --out runs/benchmark
  dsfedmed benchmark --sites DIR --teacher teacher.safetensors --out runs/benchmark --records shared/records --seeds 1
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dsfedmed_benchmarks.studies.study import Grid, JobRun, job_run
from dsfedmed.flare.workspace import require_sites
from dsfedmed_benchmarks.studies.benchmark import benchmark_rows, complete_runs
from dsfedmed_benchmarks.studies.benchmark_settings import require_one_recipe
from dsfedmed_benchmarks.studies.benchmark_table import benchmark_markdown
from dsfedmed_benchmarks.studies.benchmark_figure import benchmark_figure
from dsfedmed.store.files import write_text

NAME = "benchmark"
HELP = "every method on the same sites, splits and seeds: one table, one picture"
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
    parser.add_argument("--teacher", type=Path, help="weights of the foundation, for every method that has one")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs, the table and the picture")
    parser.add_argument("--records", type=Path, metavar="DIR", help="records of complete runs, kept beside --out")
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
    grid = Grid(tuple(job_of(args, cell) for cell in plan_cells(args)), args.out, args.records)
    require_one_recipe(grid.found())  # before hours of work, and again as runs are added
    if not args.only_table:
        grid.make(lambda: write_benchmark(grid))
    write_benchmark(grid)
    print((args.out / TABLE).read_text(encoding="utf-8"))
    for lacking in grid.lacking():
        print(f"not complete: {lacking.name}; the same command goes on with it", file=sys.stderr)
    return 1 if grid.lacking() else 0


def plan_cells(args: argparse.Namespace) -> Iterator[Cell]:
    """Yield the runs, seed by seed, so that an interrupted table has whole seeds.

    Raises:
        ConfigError: a site is named that is not there.
    """
    asked = [*(args.unseen or []), *([args.label_site] if args.label_site else [])]
    names = require_sites(args.sites, asked, "benchmark")
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


def write_benchmark(grid: Grid) -> None:
    """Write table and picture of the runs that are there.

    Raises:
        ConfigError: the runs are of more than one recipe.
    """
    records = grid.found()
    require_one_recipe(records)
    runs = complete_runs(records)
    write_text(grid.out / TABLE, benchmark_markdown(runs, records))
    if (picture := benchmark_figure(benchmark_rows(runs))) is not None:
        write_text(grid.out / PICTURE, picture)
