# SPDX-License-Identifier: Apache-2.0
"""Run a federation on this machine: server and hospitals, with all stages, a table and a report at the end.

The same command again resumes after the last finished stage or round.

Examples:
  dsfedmed run dsfedmed --sites data/sites --unseen site_d --teacher teacher.safetensors --out runs/first
  dsfedmed run dsfedmed --sites data/sites --unseen site_d --preset few_rounds --set rounds=3 --out runs/three_rounds
  dsfedmed run fedbn --sites data/sites --engine local --out runs/fedbn
"""

from __future__ import annotations

import argparse
import os
from importlib.util import find_spec
from pathlib import Path

from dsfedmed.cli.job.words import NVFLARE, STOPPED, add_run_options, method_name
from dsfedmed.federated.party.stopping import stoppable
from dsfedmed.installation.extras import EXTRAS, lacking, require_extras
from dsfedmed.methods import METHODS
from dsfedmed.version import VERSION


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("method", type=method_name, choices=sorted(METHODS), help="what is run")
    add_run_options(parser, required=True)


def run(args: argparse.Namespace) -> int:
    """Run the method; 0 when the run's own verdict is complete.

    Raises:
        Stopped: Ctrl-C, or a request to end.
    """
    require_extras("generator", "teacher", "report", *(("nvflare",) if args.engine == NVFLARE else ()))
    if args.engine == NVFLARE and args.tracking in EXTRAS["tracking"] and find_spec(args.tracking) is None:
        raise lacking([args.tracking], ["tracking"])
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # several processes share the cores; more threads only fight
    with stoppable(STOPPED):
        print(f"dsfedmed {VERSION}: {args.method} on {args.sites}; loading libraries", flush=True)
        from dsfedmed.cli.job.command import run_method
        from dsfedmed.installation.shipped import job_folder

        status = run_method(args, args.method, job_folder(args.method))
    if status == 0:
        lines = ("Next:", f"  open {args.out / 'report.html'} in a browser", *_predict(args.out))
        print("\n".join(lines), flush=True)
    return status


def _predict(run_folder: Path) -> tuple[str, ...]:
    """Return the command that uses the release, where the run has one."""
    there = (run_folder / "release").is_dir()
    return (f"  dsfedmed predict {run_folder} IMAGES --out MASKS",) if there else ()
