# SPDX-License-Identifier: Apache-2.0
"""From the command line of `dsfedmed plan` to the plan: read the sites, lay the proposals over, reckon."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from dsfedmed.cli.job.command import refuse_damaged_sites
from dsfedmed.cli.job.space import needed_bytes
from dsfedmed.data.datalist import SiteDatalist, load_datalist
from dsfedmed.data.facts import SiteFacts, merge_facts, site_facts
from dsfedmed.federated.methods import workflow_of
from dsfedmed.federated.party.config import PartyConfig
from dsfedmed.federated.party.layout import SimulatedSites, require_enough, site_folders, with_plain_names
from dsfedmed.federated.server.plan import FederationPlan, make_plan
from dsfedmed.federated.server.workflow import FederatedWorkflow
from dsfedmed.installation.shipped import bundles, job_folder
from dsfedmed.options import require
from dsfedmed.planning.asks import asks
from dsfedmed.planning.calibration import Calibration, calibrate
from dsfedmed.planning.far_apart import how_far_apart, unlike_all, words
from dsfedmed.planning.fingerprint import SiteFingerprint, fingerprint
from dsfedmed.planning.look import ImageLook, look_at
from dsfedmed.planning.plan import Plan
from dsfedmed.planning.proposal import PRESET, Choice, options, propose, propose_preset
from dsfedmed.planning.scene import Scene, SiteSize
from dsfedmed.planning.sizes import count_numbers
from dsfedmed.planning.times import needed_units, stage_times
from dsfedmed.planning.traffic import traffic
from dsfedmed.settings import Settings, read_run
from dsfedmed.site_names import own_name

TEACHERS = ("samfed", "pfedsam")
"""Methods that train the teacher itself, with low-rank updates where asked for."""


@dataclass(frozen=True)
class Described:
    """A site as it was read: its list, what it would tell the server, its images' looks, and its fingerprint."""

    datalist: SiteDatalist
    facts: SiteFacts
    looks: list[ImageLook]
    fingerprint: SiteFingerprint


def make_plan_of(args: argparse.Namespace) -> Plan:
    """Return the plan.

    Raises:
        ConfigError: a setting, site or method that cannot be.
        DataError: a site has errors, all of which are listed, or the sites do not mean the same task.
    """
    folders = site_folders(args.sites)
    base = _settings(args, folders, [])
    workflow = workflow_of(args.method, base)
    _refuse_unplanned(args, workflow)
    require_enough(base, list(folders))
    refuse_damaged_sites(args.sites, folders, labelled=not workflow.PUBLIC)
    sites = _described(args.sites, folders, base)
    gpu = torch.cuda.is_available()
    choices, settings = _proposed(args, folders, base, sites, gpu)
    return _reckoned(args, workflow_of(args.method, settings), folders, sites, choices)


def _refuse_unplanned(args: argparse.Namespace, workflow: FederatedWorkflow) -> None:
    """Refuse what cannot be reckoned; a Stable Diffusion is refused where its numbers would be counted.

    Raises:
        ConfigError: public labels are needed and not named, sites have networks of their own, or SAM at full size would
            have to be timed.
    """
    settings = workflow.settings
    if workflow.PUBLIC:
        named = bool(args.public or settings.method.get("label_site"))
        fix = "Give --public FOLDER, or --label-site SITE"
        require(named, "--public", "is not given, and the method needs public labels", fix)
        reason = "sites with networks of their own are not planned"
        require(not settings.method.get("site_bundles"), "method.site_bundles", reason, "Plan with one network for all")
    full_size = args.method in TEACHERS and settings.teacher_variant.startswith("vit_")
    reason = f"a few steps of {settings.teacher_variant} take this machine too long to be timed"
    gpu = torch.cuda.is_available()
    require(gpu or args.no_calibration or not full_size, "teacher_variant", reason, "Give --no-calibration")


def _public(args: argparse.Namespace, workflow: FederatedWorkflow, sites: Mapping[str, Described]) -> tuple[int, int]:
    """Return the images of the public set, training and validation: of its folder, or of the label site."""
    if not workflow.PUBLIC:
        return 0, 0
    site = workflow.settings.method.get("label_site")
    parts = sites[site].datalist.parts if site and not args.public else load_datalist(args.public).parts
    return len(parts["training"]), len(parts["validation"])


def _settings(args: argparse.Namespace, folders: Mapping[str, str], proposed: list[Choice]) -> Settings:
    overrides = [*(choice.option for choice in proposed), *args.set]
    presets = job_folder(args.method) / "presets"
    settings = read_run(
        args.preset or PRESET, overrides, presets=presets, unseen=args.unseen, label_site=args.label_site
    )
    return with_plain_names(settings, folders)


def _described(root: Path, folders: Mapping[str, str], settings: Settings) -> dict[str, Described]:
    """Read every site; names are those that travel."""
    found = {}
    for plain, folder in folders.items():
        datalist = load_datalist(root / folder)
        facts, looks = site_facts(datalist), look_at(datalist)
        takes_part = plain not in settings.unseen
        found[plain] = Described(
            datalist, facts, looks, fingerprint(own_name(folder), takes_part, datalist, facts, looks)
        )
    return found


def _proposed(
    args: argparse.Namespace, folders: Mapping[str, str], base: Settings, sites: Mapping[str, Described], gpu: bool
) -> tuple[list[Choice], Settings]:
    """Return the proposals, and the settings with them where no preset was named."""
    given = {text.partition("=")[0] for text in args.set}
    sources = [site.fingerprint for site in sites.values() if site.fingerprint.takes_part]
    choices = propose(base, sources, gpu, given)
    settings = base if args.preset else _settings(args, folders, choices)
    return [propose_preset(gpu, args.preset), *choices], settings


def _reckoned(
    args: argparse.Namespace,
    workflow: FederatedWorkflow,
    folders: Mapping[str, str],
    sites: Mapping[str, Described],
    choices: list[Choice],
) -> Plan:
    settings, gpu = workflow.settings, torch.cuda.is_available()
    sources = {name: site for name, site in sites.items() if site.fingerprint.takes_part}
    facts = merge_facts({name: site.facts for name, site in sites.items()})
    counts = {name: site.facts.counts["training"] for name, site in sources.items()}
    networks = make_plan(settings, PartyConfig(bundles=bundles()), facts, counts)
    scene = Scene(
        settings, _sizes(settings, sites), workflow.stages(settings), facts.channels, facts.num_classes, args.method,
        _public(args, workflow, sites),
    )  # fmt: skip
    device = "cuda" if gpu else "cpu"
    numbers = count_numbers(networks, workflow.GENERATES, low_rank=args.method in TEACHERS)
    calibration = None if args.no_calibration else _calibrated(networks, scene, sources, device)
    times = None if calibration is None else tuple(stage_times(scene, calibration.seconds))
    moved = tuple(traffic(scene, numbers))
    apart = how_far_apart(_looks(sources))
    return Plan(
        method=args.method,
        scene=scene,
        sites=tuple(site.fingerprint for site in sites.values()),
        apart=apart,
        helps=words(apart, list(counts.values())),
        choices=tuple(choices),
        options=tuple(_options(args, choices[:1] if args.preset else choices, _settings(args, folders, []))),
        laid=not args.preset,
        numbers=numbers,
        traffic=moved,
        asked=tuple(asks(scene, numbers, moved, times)),
        disk=needed_bytes(workflow, SimulatedSites(args.sites, Path("run"), bundles()), folders.values()),
        workers=1 if gpu else min(len(os.sched_getaffinity(0)), len(sources)),
        device=device,
        calibration=calibration,
        times=times,
        unlike=unlike_all(_looks(sources), _looks({n: site for n, site in sites.items() if n not in sources})),
    )


def _looks(sites: Mapping[str, Described]) -> dict[str, Sequence[ImageLook]]:
    """Return what was looked at, by the names that people know."""
    return {site.fingerprint.name: site.looks for site in sites.values()}


def _options(args: argparse.Namespace, choices: list[Choice], base: Settings) -> list[str]:
    """Return the whole command line of the run, what was given included."""
    unseen = [word for site in args.unseen for word in ("--unseen", site)]
    unseen += ["--label-site", args.label_site] if args.label_site else []
    unseen += ["--public", str(args.public)] if args.public else []
    given = [word for text in args.set for word in ("--set", text)]
    return ["--sites", str(args.sites), *unseen, *options(choices, base), *given]


def _sizes(settings: Settings, sites: Mapping[str, Described]) -> tuple[SiteSize, ...]:
    """Return the images of every site by part, under the name that people know; a label site trains nothing."""
    return tuple(
        SiteSize(
            name=site.fingerprint.name,
            training=site.facts.counts.get("training", 0),
            validation=site.facts.counts.get("validation", 0),
            test=site.facts.counts.get("test", 0),
            takes_part=site.fingerprint.takes_part and name != settings.method.get("label_site"),
        )
        for name, site in sites.items()
    )


def _calibrated(networks: FederationPlan, scene: Scene, sources: Mapping[str, Described], device: str) -> Calibration:
    """Time real steps; images are read from the site that has most of them."""
    largest = max(sources.values(), key=lambda site: site.facts.counts["training"])
    return calibrate(networks, needed_units(scene), largest.datalist, device)
