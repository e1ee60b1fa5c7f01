# SPDX-License-Identifier: Apache-2.0
r"""Change one thing at a time in DSFedMed's default settings and see what it does to its lead over FedAvg.

The rows are read from a YAML file, by default the one beside the job. Every row is run with each site held out in turn
and every seed. A complete run is not done again, and stages that a change does not affect (the generators, say) are
reused from the first row's run. A row that changes nothing has the runs of `compare-methods`, which are used where
--out and --records are the same. The table shows the source sites' validation, by which settings are chosen; --test
adds the test figures of seen and held-out sites, which are for the end.

Examples:
  python -m dsfedmed_benchmarks ablation --sites DIR --teacher teacher.safetensors --out runs/ablation \
      --unseen site_d --seeds 0
  python -m dsfedmed_benchmarks ablation --sites DIR --teacher teacher.safetensors --out runs/ablation \
      --only-table --test
"""

from __future__ import annotations

import argparse
from pathlib import Path

from dsfedmed.errors import ConfigError
from dsfedmed.federated.party.layout import require_sites
from dsfedmed.store.files import write_text
from dsfedmed_benchmarks.studies.ablation import METHOD, ablation_row
from dsfedmed_benchmarks.studies.ablation_rows import AblationChange, read_rows
from dsfedmed_benchmarks.studies.ablation_table import ablation_markdown
from dsfedmed_benchmarks.studies.benchmark_settings import require_same_settings
from dsfedmed_benchmarks.studies.study import Study, job_run, records_argument

TABLE = "ablation.md"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--sites", type=Path, required=True, help="folder with one folder per site")
    parser.add_argument("--teacher", type=Path, help="teacher weights")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs and the table")
    parser.add_argument("--records", type=Path, metavar="PATH", help="records of complete runs: DIR, or ARCHIVE/PART")
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
    studies = {change.name: _study(args, change, rows[0]) for change in _chosen(args, rows)}
    if not args.only_table:
        runs = tuple(run for study in studies.values() for run in study.runs)
        whole = Study(runs, args.out, records_argument(args.records))
        whole.make(lambda: write_ablation(args, studies), args.at_once)
    write_ablation(args, studies)
    print((args.out / TABLE).read_text(encoding="utf-8"))
    return 1 if any(study.lacking() for study in studies.values()) else 0


def write_ablation(args: argparse.Namespace, studies: dict[str, Study]) -> None:
    """Write the table of what is complete; rows without a complete run are named below it.

    Raises:
        ConfigError: a row's runs differ in their settings or teacher weights.
    """
    for study in studies.values():
        require_same_settings(study.found())
    complete = {name: [record for record in study.found() if record.complete] for name, study in studies.items()}
    rows = [ablation_row(name, records, args.test) for name, records in complete.items() if records]
    lacking = {name: len(study.lacking()) for name, study in studies.items()}
    write_text(args.out / TABLE, ablation_markdown(rows, lacking, args.test))


def _chosen(args: argparse.Namespace, rows: tuple[AblationChange, ...]) -> tuple[AblationChange, ...]:
    names = [row.name for row in rows]
    for name in args.only_rows or []:
        if name not in names:
            raise ConfigError("ablation", f"there is no row '{name}'", f"Rows: {'; '.join(names)}")
    return tuple(row for row in rows if args.only_rows is None or row.name in args.only_rows)


def _study(args: argparse.Namespace, change: AblationChange, first: AblationChange) -> Study:
    """Return one row's runs, seed by seed; they reuse the stages of the first row's that the change does not affect.

    Raises:
        ConfigError: a site is named that is not there.
    """
    names = require_sites(args.sites, args.unseen or [], "ablation")
    runs = []
    for seed in args.seeds:
        for unseen in args.unseen or names:
            words = ["--unseen", unseen, "--preset", args.preset, "--seed", str(seed), *change.words()]
            words += ["--server-threads", str(args.server_threads)]
            words += ["--teacher", str(args.teacher)] if args.teacher and change.teacher_weights else []
            name, source = (f"{row.slug}-{unseen}-{seed}" for row in (change, first))
            runs.append(job_run(name, args.jobs, METHOD, args.sites, words, "" if change == first else source))
    return Study(tuple(runs), args.out, records_argument(args.records))
