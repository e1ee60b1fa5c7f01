# SPDX-License-Identifier: Apache-2.0
"""Run a job folder's command: simulate the method on site folders, or write its job for NVFlare.

NVFlare is imported where it is used: by its simulator, and to write a job. The local engines do without it.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

from dsfedmed.cli.job.begun import BegunRun
from dsfedmed.cli.job.console import Console, console_of, status_bar
from dsfedmed.cli.job.inputs import require_inputs
from dsfedmed.cli.job.space import needed_bytes, require_space
from dsfedmed.cli.job.words import NVFLARE, STOPPED, parse_words, read_settings
from dsfedmed.cli.main import exit_status
from dsfedmed.data.datalist import FILE_NAME
from dsfedmed.data.review.meant import without_list
from dsfedmed.data.review.pair_names import quoted
from dsfedmed.data.review.whole_site import check_whole_site
from dsfedmed.errors import ConfigError, DataError
from dsfedmed.federated.local.leaving import read_leaving
from dsfedmed.federated.local.simulation import simulate_locally
from dsfedmed.federated.methods import workflow_of
from dsfedmed.federated.party.layout import SimulatedSites, site_folders, with_plain_names
from dsfedmed.federated.party.stopping import stoppable
from dsfedmed.federated.server.progress import LOGGER_NAME as PROGRESS_LOG
from dsfedmed.federated.server.reuse import METHOD, reuse_stages
from dsfedmed.federated.server.workflow import FederatedWorkflow
from dsfedmed.installation.shipped import bundles
from dsfedmed.options import require
from dsfedmed.reporting.results import load_results
from dsfedmed.reporting.terminal import summary_text
from dsfedmed.settings import Settings
from dsfedmed.site_names import own_name
from dsfedmed.store.run_lock import JOB, SERVER, run_lock
from dsfedmed.store.run_version import require_run_of_this_version

ENDING_S = 20.0
"""How long the processes of a killed job may take to end."""
NO_LEAVING = "sites of NVFlare's simulator do not leave"


def simulate_job(args: argparse.Namespace, settings: Settings, method: str, bundle_folder: Path) -> int:
    """Run the job on this machine; return 0 when the run's own verdict is complete.

    What can be known at the start is looked at before anything is begun, and what takes no time first.
    """
    if args.sites is None or args.out is None:
        raise ConfigError("job.py", "--sites and --out are needed to run", "Give both, or --write-job DIR")
    if not args.start_over:
        require_run_of_this_version(args.out)
    folders = site_folders(args.sites)
    _tell_of_unlisted(args.sites)
    settings = with_plain_names(settings, folders)
    workflow = workflow_of(method, settings)  # a wrong option of the method is said before any image is read
    layout = _layout(args, settings, folders, bundle_folder)
    require_inputs(workflow, layout, folders)
    leaving = read_leaving(args.leave, folders)
    require(not leaving or args.engine != NVFLARE, "--leave", NO_LEAVING, "Add --engine local")
    require(args.reuse is None or method == METHOD, "--reuse", f"{method} has no stages to reuse", "Leave it out")
    itself = args.start_over and args.reuse is not None and args.reuse.resolve() == args.out.resolve()
    require(not itself, "--reuse", "is the run that --start-over removes", "Reuse another run, or choose another --out")
    with run_lock(args.out, JOB) as dead:
        with run_lock(
            args.out, SERVER, patience_s=ENDING_S if dead else 0
        ):  # a server that NVFlare's own command began
            pass
        if dead:
            print(f"taken over from {dead}, which ended without a word", flush=True)
        begun = BegunRun(layout, folders)
        _prepare_folder(args, begun, workflow, leaving)
        if args.reuse is not None:
            resumed = begun.exists
            kept = reuse_stages(args.reuse, args.out, settings, layout, leaving)
            if not resumed:  # what is resumed has its own stages
                print(f"reused from {args.reuse.name}: {', '.join(kept) or 'nothing'}", flush=True)
        begun.accept()
        return _simulate(args, settings, layout, list(folders), method, leaving)


def _simulate(
    args: argparse.Namespace,
    settings: Settings,
    layout: SimulatedSites,
    sites: list[str],
    method: str,
    leaving: Mapping[str, int],
) -> int:
    """Run the engine, shown as the console is, and print the table."""
    console, tracking = console_of(args), args.tracking
    with status_bar(args.out) if console == "bar" else nullcontext():
        if args.engine == NVFLARE:
            verdict = _simulate_with_nvflare(settings, layout, sites, method, console, tracking)
        else:
            processes = args.engine == "local-processes"
            verdict = _simulate_locally(settings, layout, method, processes, leaving, console)
    print(summary_text(load_results(layout.run)))
    return 0 if verdict == "complete" else 1


def _simulate_with_nvflare(
    settings: Settings, layout: SimulatedSites, sites: list[str], method: str, console: Console, tracking: str
) -> str:
    from dsfedmed.flare.simulation import simulate
    from dsfedmed.flare.workspace import EVERYTHING, NOTHING, PROGRESS, prepare_workspace

    shown = {"lines": PROGRESS, "all": EVERYTHING}.get(console, NOTHING)
    prepare_workspace(layout.run / "nvflare" / method, layout, shown=shown)
    return simulate(settings, sites, layout.run, method, tracking)


def _prepare_folder(
    args: argparse.Namespace, begun: BegunRun, workflow: FederatedWorkflow, leaving: Mapping[str, int]
) -> None:
    """See that a run that is in ``--out`` is the one asked for, or remove it where it is to start over."""
    if not args.start_over:
        begun.require_same(workflow.METHOD, workflow.settings, leaving)
        begun.require_same_weights()
    require_space(args.out, needed_bytes(workflow, begun.layout, begun.folders.values()))
    refuse_damaged_sites(args.sites, begun.folders, labelled=not workflow.PUBLIC)
    if args.start_over:
        begun.remove()
        begun.require_same_weights()
    begun.require_same_data()


def _layout(
    args: argparse.Namespace, settings: Settings, folders: Mapping[str, str], bundle_folder: Path
) -> SimulatedSites:
    """Return where everything lies; the labels of SAM-Fed's label site are the public set where none is given."""
    label_site = settings.method.get("label_site")
    labels = args.sites / folders[label_site] if label_site else None
    return SimulatedSites(
        sites=args.sites,
        run=args.out,
        bundles=bundle_folder,
        teacher=args.teacher,
        device=args.device,
        threads=args.threads,
        server_threads=args.server_threads,
        generator=args.generator,
        light_weights=args.light_weights,
        generator_base=args.generator_base,
        public=labels if args.label_site else args.public or labels,
        report_cases=not args.no_cases,
        send_amplitudes=args.send_amplitudes,
    )


def _simulate_locally(
    settings: Settings,
    layout: SimulatedSites,
    method: str,
    processes: bool,
    leaving: Mapping[str, int],
    console: Console,
) -> str:
    """Run the method without NVFlare, with its progress on the console where lines are shown."""
    progress, lines = logging.getLogger(PROGRESS_LOG), logging.StreamHandler(sys.stdout)
    lines.setFormatter(logging.Formatter("%(message)s"))
    lines.setLevel(logging.INFO if console in ("lines", "all") else logging.CRITICAL)
    progress.addHandler(lines)
    progress.setLevel(logging.INFO)
    try:
        return simulate_locally(method, settings, layout, processes, leaving)
    finally:
        progress.removeHandler(lines)


def _tell_of_unlisted(sites: Path) -> None:
    """Say which folders take no part because nobody listed their images."""
    for name in without_list(sites):
        fix = f"`dsfedmed build-datalist {quoted(str(sites / name))}`"
        print(f"{own_name(name)} holds images and no {FILE_NAME}, and takes no part; {fix} makes one", flush=True)


def refuse_damaged_sites(sites: Path, folders: Mapping[str, str], labelled: bool = True) -> None:
    """Read every file of every site and stop at errors, all of them listed; the sites are on this machine here.

    Args:
        sites: folder with one folder per site.
        folders: the sites' folders by the names that travel.
        labelled: whether sites need labels to train with; SAM-Fed's do not.

    Raises:
        DataError: naming the sites that have errors.
    """
    names = {own_name(name): sites / name for name in folders.values()}
    found = {
        name: [f for f in check_whole_site(folder)[0].findings if f.level == "error" and (labelled or not f.unlabelled)]
        for name, folder in names.items()
    }
    lines = [f"{site}: {f.where}: {f.reason}. {f.fix}" for site, findings in found.items() for f in findings]
    if lines:
        print("\n".join(lines), file=sys.stderr)
        broken = ", ".join(site for site, findings in found.items() if findings)
        count = f"{len(lines)} error{'' if len(lines) == 1 else 's'}"
        raise DataError(broken, f"{count}, listed above", "Fix them, then run `dsfedmed check-site` again")


def run_method(args: argparse.Namespace, method: str, folder: Path) -> int:
    """Run a method as the command line says.

    Args:
        args: of `words.add_run_options`.
        method: a key of `dsfedmed.methods.METHODS`.
        folder: the method's job folder, with ``presets/``.
    """
    return simulate_job(args, read_settings(args, folder / "presets"), method, bundles())


def run_job(method: str, folder: Path, description: str, argv: Sequence[str] | None = None) -> int:
    """Run or write the job of a method's job folder.

    Args:
        method: a key of `dsfedmed.methods.METHODS`.
        folder: the job's folder, ``jobs/METHOD``, with ``presets/``.
        description: of the command, for its help.
        argv: the command line; that of the process by default.
    """

    def command() -> int:
        args = parse_words(method, description, sys.argv[1:] if argv is None else argv)
        if args.write_job:
            from dsfedmed.flare.recipe import export_job

            settings = read_settings(args, folder / "presets")
            print(export_job(settings, args.write_job, gpus=args.gpus, method=method, tracking=args.tracking))
            return 0
        with stoppable(STOPPED):
            return run_method(args, method, folder)

    return exit_status("job.py", command)
