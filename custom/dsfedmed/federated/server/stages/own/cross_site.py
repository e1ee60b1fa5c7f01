# SPDX-License-Identifier: Apache-2.0
"""Stage "cross-site": the network of every site on the test part of every site, its own among them.

In simulation only, where the server's machine holds every site's folder: a site's own network never travels, and the
server reads it where the site has left it, as the bundle of `dsfedmed.federated.wire.task.Task.own_release`. At real
sites asking for this stops the run before anything is trained. Only means are written down.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from torch import nn

from dsfedmed.bundles.definition import BundleDefinition
from dsfedmed.bundles.release import WEIGHTS
from dsfedmed.evaluation.protocol import ForwardPass
from dsfedmed.evaluation.protocol import evaluate as score
from dsfedmed.exchange.compression import pack, unpack
from dsfedmed.federated.party.config import load_party_config
from dsfedmed.federated.party.run_key import run_key
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.scored_model import ScoredModel
from dsfedmed.federated.server.stages.centralised import site_folders
from dsfedmed.federated.server.stages.global_branch import global_network
from dsfedmed.federated.server.workflow import FederatedWorkflow
from dsfedmed.networks.checkpoints import load_weights
from dsfedmed.settings_sections import CompareSettings
from dsfedmed.store.stage_store import StageResult

STAGE, SETTING = "cross-site", "compare.cross_site"
Matrix = dict[str, dict[str, float]]
"""Mean Dice, 0 to 1, by the site whose network it is, and by the site whose test images."""


@dataclass(frozen=True)
class OwnNetwork:
    """A finished network of one site.

    Attributes:
        model: key of the model, as in tables.
        site: whose it is.
        network: on the server's device.
        bundle: whose preprocessing it needs.
    """

    model: str
    site: str
    network: nn.Module
    bundle: BundleDefinition


def crossed_stages(asked: CompareSettings) -> tuple[str, ...]:
    """Name this stage where it is asked for."""
    return (STAGE,) if asked.cross_site else ()


def cross_site(run: FederatedWorkflow, plan: FederationPlan, models: Mapping[str, ScoredModel]) -> None:
    """Score what every source site has of its own at every site, unseen ones too, and write down the mean Dice."""

    def make() -> StageResult:
        lists = site_folders(run, SETTING, (*run.sources, *run.unseen))
        forward = ForwardPass(plan.facts.num_classes, 16, run.config.device)
        found: dict[str, Matrix] = {}
        for own in _own_networks(run, plan, models):
            look = own.bundle.preprocessing()
            scored = {site: score(own.network, part, "test", look, forward) for site, part in lists.items()}
            row = {site: fmean(case.mean_dice for case in cases) for site, cases in scored.items()}
            found.setdefault(own.model, {})[own.site] = row
            run.progress.say(f"{own.site}: its network of {own.model} scored at {len(row)} sites")
        return StageResult({"dice": found}, {})

    found = run.once(STAGE, make, "comparison").info["dice"]
    run.record.put(cross_site=found)
    if not found:
        run.record.event("missing", f"{SETTING}: no site has a network of its own in this run", STAGE)


def _own_networks(
    run: FederatedWorkflow, plan: FederationPlan, models: Mapping[str, ScoredModel]
) -> Iterator[OwnNetwork]:
    """Yield the sites' networks; one that was not trained, or of which the site could write no bundle, is left out."""
    for name, model in models.items():
        kind, alone, site = name.partition("@")
        if alone:
            yield OwnNetwork(kind, site, _alone(run, plan, model), plan.light_bundle)
        elif model.own and model.own.own_bundle:
            for site in run.sources:
                folder = _folder(run, site) / model.own.own_bundle
                if (folder / WEIGHTS).is_file():
                    yield _from_bundle(run, name, site, folder)


def _alone(run: FederatedWorkflow, plan: FederationPlan, model: ScoredModel) -> nn.Module:
    """Return the network of a site that trained alone, as the site itself scored it: in the wire's number format."""
    network = plan.light_network() if model.network == "light" else global_network(run, plan)
    network.load_state_dict(unpack(pack(model.weights, plan.settings.light.precision)), strict=False)
    return network.to(run.config.device)


def _from_bundle(run: FederatedWorkflow, name: str, site: str, folder: Path) -> OwnNetwork:
    bundle = BundleDefinition(folder, also_allowed=run.config.bundle_classes)
    network = bundle.network()
    load_weights(network, folder / WEIGHTS, site)
    return OwnNetwork(name, site, network.to(run.config.device), bundle)


def _folder(run: FederatedWorkflow, site: str) -> Path:
    """Return where a simulated site keeps what is its own."""
    return load_party_config(run.local_folder, site, run_key(run.settings, run.METHOD)).need("output")
