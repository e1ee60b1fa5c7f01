# SPDX-License-Identifier: Apache-2.0
"""Write a method's NVFlare job folder: configuration only, for sites that have dsfedmed installed.

Submit it with `nvflare job submit -j DIR/METHOD`, or run it with `nvflare simulator`.

Examples:
  dsfedmed export-job dsfedmed jobs --preset cpu --unseen hospital_d --set rounds=30
  dsfedmed export-job pfedsam jobs --gpus 1
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from dsfedmed.cli.job.words import add_settings_options, add_tracking_option, method_name
from dsfedmed.errors import ConfigError
from dsfedmed.methods import METHODS


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("method", type=method_name, choices=sorted(METHODS), help="what is run")
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder that gets the folder DIR/METHOD")
    add_settings_options(parser)
    add_tracking_option(parser)
    parser.add_argument("--gpus", type=int, default=0, help="GPUs that the job asks of every party (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Write the folder, name it and say what comes next.

    Raises:
        ConfigError: a site to be held out has no name that travels.
    """
    from dsfedmed.cli.job.words import read_settings
    from dsfedmed.flare.recipe import export_job
    from dsfedmed.installation.shipped import job_folder

    settings = read_settings(args, job_folder(args.method) / "presets")
    _require_plain_names(settings.unseen)
    job = export_job(settings, args.folder, gpus=args.gpus, method=args.method, tracking=args.tracking)
    print("\n".join((str(job), *_next(job))))
    return 0


def _require_plain_names(sites: Sequence[str]) -> None:
    """See that the sites that are held out go by names that NVFlare takes; another one would be none of the sites."""
    from dsfedmed.site_names import own_name, plain_name

    for site in sites:
        plain = plain_name(site)
        if plain != own_name(site):
            reason = f"{site!r} is no name of NVFlare's, which takes letters, digits, _ and - only"
            fix = f"Give the name in the site's startup kit; from a folder of that name `workspace` makes {plain}"
            raise ConfigError("--unseen", reason, fix)


def _next(job: Path) -> tuple[str, ...]:
    """Return how the job is begun, at real sites and in the simulator."""
    return (
        "Next, for a federation of real sites, as its lead:",
        f"  nvflare job submit -j {job}",
        "or on this machine, where `workspace` names the sites for the second line:",
        "  dsfedmed workspace ws --sites SITES --run RUN",
        f"  nvflare simulator {job} -w ws -c SITE,SITE -t 2",
    )
