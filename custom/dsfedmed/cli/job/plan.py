# SPDX-License-Identifier: Apache-2.0
"""Say what a federation on these site folders would look like, before anything is run.

It reads the sites as `dsfedmed run` does, describes them, proposes settings with reasons, times a few real steps on
this machine, and estimates time, bytes, memory and disk, and what each hospital is asked for. Settings that you give
are kept; with --preset the proposals are only shown.

Examples:
  dsfedmed plan --sites data/sites --unseen site_d
  dsfedmed plan --sites data/sites --preset demo --no-calibration --json plan.json
  dsfedmed plan --sites data/sites --set image_size=64 --method fedbn
  dsfedmed plan --sites data/sites --method samfed --public data/labelled
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from dsfedmed.installation.extras import require_extras

METHODS = ("dsfedmed", "fedbn", "samfed", "pfedsam")
"""Methods whose stages can be reckoned."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add = parser.add_argument
    add("--sites", type=Path, required=True, metavar="DIR", help="folder with one folder per site")
    add("--unseen", action="append", default=[], metavar="SITE", help="site held out until the end (may be repeated)")
    add("--preset", help="plan this preset as it is: a name, or a path to a YAML file")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="override one setting (may be repeated)")
    add("--method", choices=METHODS, default=METHODS[0], help="what would be run (%(default)s)")
    add("--public", type=Path, metavar="DIR", help="labelled folder of the server (SAM-Fed)")
    add("--label-site", metavar="SITE", help="use this site's labels as the public set (SAM-Fed)")
    add("--no-calibration", action="store_true", help="time nothing on this machine, and estimate no times")
    add("--json", type=Path, metavar="FILE", help="also write the plan as JSON")


def run(args: argparse.Namespace) -> int:
    """Make the plan, print it and write it."""
    require_extras("generator", "teacher")
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # as in a run; it counts only before torch is imported
    from dsfedmed.cli.job.planned import make_plan_of
    from dsfedmed.planning.text import plan_text
    from dsfedmed.store.files import write_json

    plan = make_plan_of(args)
    print(plan_text(plan))
    if args.json is not None:
        write_json(args.json, plan.to_dict())
        print(f"\n{args.json}: the same as JSON")
    return 0
