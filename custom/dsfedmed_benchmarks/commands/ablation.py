# SPDX-License-Identifier: Apache-2.0
"""Change one thing at a time in DSFedMed's recipe and see what it does to its lead over FedAvg.

The rows stand in a YAML file, by default the one that lies beside the job. Every row is run with each site held out in
turn and every seed; what is complete is not run again, and what a change leaves as it is (the generators, say) is taken
over from the first row's run. A row that changes nothing has the runs of `dsfedmed benchmark`, which are used where
--out and --records are the benchmark's. The table shows the source sites' validation, by which a recipe
is chosen; --test adds the test figures of seen and held-out sites, which are for the end.

Examples:
  dsfedmed ablation --sites DIR --teacher teacher.safetensors --out runs/ablation --unseen site_d --seeds 0
  dsfedmed ablation --sites DIR --teacher teacher.safetensors --out runs/ablation --only-table --test
"""

from __future__ import annotations

import argparse
from pathlib import Path

from dsfedmed_benchmarks.studies.ablation_rows import AblationChange, read_rows
from dsfedmed_benchmarks.studies.study import Grid, job_run
from dsfedmed.errors import ConfigError
from dsfedmed.flare.workspace import require_sites
from dsfedmed_benchmarks.studies.ablation import METHOD, ablation_row
from dsfedmed_benchmarks.studies.ablation_table import ablation_markdown
from dsfedmed_benchmarks.studies.benchmark_settings import require_one_recipe
from dsfedmed.store.files import write_text

NAME = "ablation"
HELP = "one change of DSFedMed's recipe a row, against FedAvg at equal rounds and steps"
TABLE = "ablation.md"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--sites", type=Path, required=True, help="folder with one folder per site")
    parser.add_argument("--teacher", type=Path, help="weights of the foundation")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs and the table")
    parser.add_argument("--records", type=Path, metavar="DIR", help="records of complete runs, kept beside --out")
    parser.add_argument("--rows", type=Path, help="YAML file of the rows (JOBS/dsfedmed/ablation.yaml)")
    parser.add_argument("--only-rows", nargs="+", metavar="NAME", help="some of the file's rows, by name (all)")
    parser.add_argument("--unseen", nargs="+", metavar="SITE", help="sites to hold out, one after another (all)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], metavar="N", help="seeds (0 1 2)")
    parser.add_argument("--preset", default="benchmark", help="preset that the rows change (benchmark)")
    parser.add_argument("--jobs", type=Path, default=Path("jobs"), help="folder of the jobs (jobs)")
    parser.add_argument("--server-threads", type=int, default=1, help="CPU threads of a run's server (1)")
    parser.add_argument("--at-once", type=int, default=1, metavar="N", help="runs at a time (1)")
    parser.add_argument("--test", action="store_true", help="show the test figures too: for the end, not for choosing")
    parser.add_argument("--only-table", action="store_true", help="run nothing; table of what is there")


def run(args: argparse.Namespace) -> int:
    """Do what is missing; return 0 when every run is complete."""
    rows = read_rows(args.rows or args.jobs / METHOD / "ablation.yaml")
    grids = {change.name: _grid(args, change, rows[0]) for change in _chosen(args, rows)}
    if not args.only_table:
        whole = Grid(tuple(run for grid in grids.values() for run in grid.runs), args.out, args.records)
        whole.make(lambda: write_ablation(args, grids), args.at_once)
    write_ablation(args, grids)
    print((args.out / TABLE).read_text(encoding="utf-8"))
    return 1 if any(grid.lacking() for grid in grids.values()) else 0


def write_ablation(args: argparse.Namespace, grids: dict[str, Grid]) -> None:
    """Write the table of what is complete; rows without a complete run are named below it.

    Raises:
        ConfigError: a row's runs are of more than one recipe or foundation.
    """
    for grid in grids.values():
        require_one_recipe(grid.found())
    complete = {name: [record for record in grid.found() if record.complete] for name, grid in grids.items()}
    rows = [ablation_row(name, records, args.test) for name, records in complete.items() if records]
    lacking = {name: len(grid.lacking()) for name, grid in grids.items()}
    write_text(args.out / TABLE, ablation_markdown(rows, lacking, args.test))


def _chosen(args: argparse.Namespace, rows: tuple[AblationChange, ...]) -> tuple[AblationChange, ...]:
    names = [row.name for row in rows]
    for name in args.only_rows or []:
        if name not in names:
            raise ConfigError("ablation", f"there is no row '{name}'", f"Rows: {'; '.join(names)}")
    return tuple(row for row in rows if args.only_rows is None or row.name in args.only_rows)


def _grid(args: argparse.Namespace, change: AblationChange, first: AblationChange) -> Grid:
    """Return one row's runs, seed by seed; they take over what the change leaves of the first row's.

    Raises:
        ConfigError: a site is named that is not there.
    """
    names = require_sites(args.sites, args.unseen or [], "ablation")
    runs = []
    for seed in args.seeds:
        for unseen in args.unseen or names:
            words = ["--unseen", unseen, "--preset", args.preset, "--seed", str(seed), *change.words()]
            words += ["--server-threads", str(args.server_threads)]
            words += ["--teacher", str(args.teacher)] if args.teacher and change.foundation else []
            name, source = (f"{row.slug}-{unseen}-{seed}" for row in (change, first))
            runs.append(job_run(name, args.jobs, METHOD, args.sites, words, "" if change == first else source))
    return Grid(tuple(runs), args.out, args.records)
