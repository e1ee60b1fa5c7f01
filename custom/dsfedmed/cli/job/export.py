# SPDX-License-Identifier: Apache-2.0
"""Write a method's NVFlare job folder: configuration only, for sites that have dsfedmed installed.

Submit it with `nvflare job submit -j DIR/METHOD`, or run it with `nvflare simulator`.

Examples:
  dsfedmed export-job dsfedmed jobs --preset cpu --unseen hospital_d --set rounds=30
  dsfedmed export-job pfedsam jobs --gpus 1
"""

from __future__ import annotations

import argparse
from pathlib import Path

from dsfedmed.cli.job.words import add_settings_options, add_tracking_option
from dsfedmed.methods import METHODS


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("method", choices=sorted(METHODS), help="what is run")
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder that gets the folder DIR/METHOD")
    add_settings_options(parser)
    add_tracking_option(parser)
    parser.add_argument("--gpus", type=int, default=0, help="GPUs that the job asks of every party (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Write the folder and name it."""
    from dsfedmed.cli.job.words import read_settings
    from dsfedmed.flare.recipe import export_job
    from dsfedmed.installation.shipped import job_folder

    settings = read_settings(args, job_folder(args.method) / "presets")
    print(export_job(settings, args.folder, gpus=args.gpus, method=args.method, tracking=args.tracking))
    return 0
