# SPDX-License-Identifier: Apache-2.0
"""Run a job folder's command: simulate the method on site folders, or write its job for NVFlare.

NVFlare is imported where it is used: by its simulator, and to write a job. The local engines do without it.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from dsfedmed.cli.job.words import parse_words, read_settings
from dsfedmed.data.review.whole_site import check_whole_site
from dsfedmed.errors import ConfigError, DataError, DSFedMedError
from dsfedmed.federated.local.leaving import read_leaving
from dsfedmed.federated.local.simulation import simulate_locally
from dsfedmed.federated.methods import workflow_of
from dsfedmed.federated.party.layout import SimulatedSites, site_names
from dsfedmed.federated.server.given_base import check_given_base
from dsfedmed.federated.server.plan import check_light_settings
from dsfedmed.federated.server.progress import LOGGER_NAME as PROGRESS
from dsfedmed.federated.server.reuse import METHOD, reuse_stages
from dsfedmed.options import require
from dsfedmed.reporting.results import load_results
from dsfedmed.reporting.terminal import summary_text
from dsfedmed.settings import Settings
from dsfedmed.store.run_version import require_run_of_this_version


def simulate_job(args: argparse.Namespace, settings: Settings, method: str, bundles: Path) -> int:
    """Run the job on this machine; return 0 when the run's own verdict is complete."""
    if args.sites is None or args.out is None:
        raise ConfigError("job.py", "--sites and --out are needed to run", "Give both, or --write-job DIR")
    require_run_of_this_version(args.out)
    workflow = workflow_of(method, settings)  # a wrong option of the method is said before any image is read
    if workflow.GENERATES:
        check_given_base(settings, args.generator_base)
    check_light_settings(settings, bundles)
    names = site_names(args.sites)
    refuse_damaged_sites(args.sites, names)
    layout = SimulatedSites(
        sites=args.sites,
        run=args.out,
        bundles=bundles,
        teacher=args.teacher,
        device=args.device,
        threads=args.threads,
        server_threads=args.server_threads,
        generator=args.generator,
        light_weights=args.light_weights,
        generator_base=args.generator_base,
        public=args.sites / args.label_site if args.label_site else args.public,
    )
    leaving = read_leaving(args.leave, names)
    if args.reuse is not None:
        require(method == METHOD, "--reuse", f"{method} has no stages to reuse", "Leave it out")
        kept = reuse_stages(args.reuse, args.out, settings, layout, leaving)
        print(f"reused from {args.reuse.name}: {', '.join(kept) or 'nothing'}", flush=True)
    if args.engine != "nvflare":
        return _simulate_locally(settings, layout, method, args.engine == "local-processes", leaving)
    require(not leaving, "--leave", "sites of NVFlare's simulator do not leave", "Add --engine local")
    from dsfedmed.flare.simulation import simulate
    from dsfedmed.flare.workspace import prepare_workspace

    prepare_workspace(args.out / "nvflare" / method, layout)
    return simulate(settings, names, args.out, method)


def _simulate_locally(
    settings: Settings, layout: SimulatedSites, method: str, processes: bool, leaving: Mapping[str, int]
) -> int:
    """Run the method without NVFlare, with its progress on the console, and print the summary."""
    progress, console = logging.getLogger(PROGRESS), logging.StreamHandler(sys.stdout)
    console.setFormatter(logging.Formatter("%(message)s"))
    progress.addHandler(console)
    progress.setLevel(logging.INFO)
    try:
        verdict = simulate_locally(method, settings, layout, processes, leaving)
    finally:
        progress.removeHandler(console)
    print(summary_text(load_results(layout.run)))
    return 0 if verdict == "complete" else 1


def refuse_damaged_sites(folder: Path, names: Sequence[str]) -> None:
    """Read every file of every site and stop at errors, all of them listed; the sites are on this machine here."""
    found = {name: [f for f in check_whole_site(folder / name)[0].findings if f.level == "error"] for name in names}
    lines = [f"{site}: {f.where}: {f.reason}. {f.fix}" for site, findings in found.items() for f in findings]
    if lines:
        print("\n".join(lines), file=sys.stderr)
        broken = ", ".join(site for site, findings in found.items() if findings)
        raise DataError(broken, f"{len(lines)} errors, listed above", "Fix them, then run `dsfedmed check-site` again")


def run_job(method: str, folder: Path, description: str, argv: Sequence[str] | None = None) -> int:
    """Run or write the job of a method.

    Args:
        method: a key of `dsfedmed.methods.METHODS`.
        folder: the job's folder, ``jobs/METHOD``, with ``presets/``; the bundles lie in ``bundles/`` beside ``jobs/``.
        description: of the command, for its help.
        argv: the command line; that of the process by default.
    """
    try:
        args = parse_words(method, description, sys.argv[1:] if argv is None else argv)
        settings = read_settings(args, folder / "presets")
        if args.write_job:
            from dsfedmed.flare.recipe import export_job

            print(export_job(settings, args.write_job, gpus=args.gpus, method=method))
            return 0
        return simulate_job(args, settings, method, folder.parents[1] / "bundles")
    except DSFedMedError as error:
        print(f"job.py: {error}", file=sys.stderr)
        return 2
