# SPDX-License-Identifier: Apache-2.0
"""The command of a job folder: simulate the method on site folders, or write its job for NVFlare.

NVFlare is imported where it is used: by its simulator, and to write a job. The local engines do without it.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from dsfedmed.data.checks import check_site
from dsfedmed.errors import ConfigError, DataError, DSFedMedError
from dsfedmed.federated.local.leaving import read_leaving
from dsfedmed.federated.local.simulation import simulate_locally
from dsfedmed.federated.methods import workflow_of
from dsfedmed.federated.party.layout import SimulatedSites, site_names
from dsfedmed.federated.server.plan import check_light_settings
from dsfedmed.federated.server.progress import LOGGER_NAME as PROGRESS
from dsfedmed.federated.server.reuse import METHOD, reuse_stages
from dsfedmed.options import require
from dsfedmed.renamed import refuse_renamed_word
from dsfedmed.reporting.results import load_results
from dsfedmed.reporting.terminal import summary_text
from dsfedmed.settings import Settings, read_run
from dsfedmed.store.run_version import require_run_of_this_version

ENGINES = ("nvflare", "local", "local-processes")
RENAMED = {"--from": "--reuse"}
"""Options of version 0.3 under another name now."""


def build_parser(method: str, description: str) -> argparse.ArgumentParser:
    """Return the command line of a method's job."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sites", type=Path, help="folder with one folder per site")
    parser.add_argument("--unseen", action="append", default=[], help="site held out until the end (may be repeated)")
    parser.add_argument("--preset", default="cpu", help="name of a file in presets/, or a path to a YAML file")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override one setting")
    parser.add_argument("--seed", type=int, help="seed of the run")
    parser.add_argument("--out", type=Path, help="run folder; an interrupted run there is resumed")
    parser.add_argument("--reuse", type=Path, metavar="RUN", help="finished run whose stages to reuse where they fit")
    parser.add_argument("--teacher", type=Path, help="weights of the teacher (`dsfedmed pretrain-teacher`)")
    parser.add_argument(
        "--generator", type=Path, help="Stable Diffusion folder, for `generator_model.base: stable_diffusion`"
    )
    parser.add_argument("--light-weights", type=Path, help="start weights of the light network, such as TinySAM's")
    parser.add_argument("--public", type=Path, help="labelled folder of the server (SAM-Fed)")
    parser.add_argument("--label-site", help="site whose labels play the public set (SAM-Fed)")
    parser.add_argument("--device", default="cpu", help="torch device of the simulated parties")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of each simulated site")
    parser.add_argument("--server-threads", type=int, default=1, help="CPU threads of the server; 1 repeats exactly")
    engine = "NVFlare's simulator, or without NVFlare: all sites in this process, or a process for each (same results)"
    parser.add_argument("--engine", choices=ENGINES, default=ENGINES[0], help=engine)
    leave = "a site that takes part in so many rounds and then leaves; local engines (may be repeated)"
    parser.add_argument("--leave", action="append", default=[], metavar="SITE=ROUND", help=leave)
    parser.add_argument("--gpus", type=int, default=0, help="GPUs that a written job asks of every party")
    parser.add_argument("--write-job", type=Path, metavar="DIR", help=f"only write the job folder DIR/{method}")
    return parser


def parse_words(method: str, description: str, words: Sequence[str]) -> argparse.Namespace:
    """Parse the command line of a method's job.

    Raises:
        ConfigError: an option of version 0.3, with its new name.
    """
    for word in words:
        refuse_renamed_word(word.partition("=")[0], RENAMED)
    return build_parser(method, description).parse_args(words)


def read_settings(args: argparse.Namespace, presets: Path) -> Settings:
    """Lay the command line over the preset."""
    return read_run(
        args.preset, args.set, presets=presets, unseen=args.unseen, seed=args.seed, label_site=args.label_site
    )


def planned_settings(method: str, folder: Path, words: Sequence[str]) -> Settings:
    """Return the settings of a run of ``folder``, ``jobs/METHOD``, with these words on its command line."""
    return read_settings(parse_words(method, "", words), folder / "presets")


def simulate_job(args: argparse.Namespace, settings: Settings, method: str, bundles: Path) -> int:
    """Run the job on this machine; return 0 when the run's own verdict is complete."""
    if args.sites is None or args.out is None:
        raise ConfigError("job.py", "--sites and --out are needed to run", "Give both, or --write-job DIR")
    require_run_of_this_version(args.out)
    workflow_of(method, settings)  # a wrong option of the method is said before any image is read
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
        public=args.sites / args.label_site if args.label_site else args.public,
    )
    if args.reuse is not None:
        require(method == METHOD, "--reuse", f"{method} has no stages to reuse", "Leave it out")
        kept = reuse_stages(args.reuse, args.out, settings, layout)
        print(f"reused from {args.reuse.name}: {', '.join(kept) or 'nothing'}", flush=True)
    leaving = read_leaving(args.leave, names)
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
    found = {name: [f for f in check_site(folder / name) if f.level == "error"] for name in names}
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
