# SPDX-License-Identifier: Apache-2.0
"""The upper bound "centralised": one light network trained on all source sites' images in one place.

Possible in simulation only, where the server's machine holds every site's folder. At real sites the server has no data
path, and asking for this method stops the run before anything is trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import nn

from dsfedmed.data.arrays import SiteArrays, load_part
from dsfedmed.data.datalist import SiteDatalist, load_datalist
from dsfedmed.errors import ConfigError
from dsfedmed.evaluation.protocol import ForwardPass, quick_dice
from dsfedmed.federated.party.config import load_party_config
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.stages.server_training import train_at_server
from dsfedmed.federated.server.workflow import FederatedWorkflow
from dsfedmed.store.stage_store import StageResult


def require_simulation(run: FederatedWorkflow) -> None:
    """See that what needs every site's folder is asked for where they are, before hours of work.

    Raises:
        ConfigError: the sites' folders are not here.
    """
    for name in ("centralised", "cross_site"):
        if getattr(run.settings.compare, name):
            site_folders(run, f"compare.{name}")


def site_folders(
    run: FederatedWorkflow, setting: str = "compare.centralised", sites: Sequence[str] = ()
) -> dict[str, SiteDatalist]:
    """Return the datalists of ``sites``, by default of every source site, read from the server's machine.

    Raises:
        ConfigError: the sites' folders are not here; ``setting`` is named.
    """
    found = {}
    for site in sites or run.sources:
        folder = load_party_config(run.local_folder, site).data
        if folder is None or not folder.is_dir():
            reason = f"the images of {site} are not on the server's machine, and never should be"
            raise ConfigError(setting, reason, "Use it in simulation only, or leave it out")
        found[site] = load_datalist(folder)
    return found


def centralised(run: FederatedWorkflow, plan: FederationPlan, rounds: int) -> StageResult:
    """Train on the union for as many passes as a federation of ``rounds`` makes.

    The best epoch by mean validation Dice is kept.
    Steps are those of FedAvg at equal rounds, give or take the sites' last batches; Adam's state is one and goes on.
    """
    lists, settings = site_folders(run), run.settings
    preprocessing = plan.light_bundle.preprocessing()
    training = _joined([load_part(found, "training", preprocessing) for found in lists.values()])
    held_out = {site: load_part(found, "validation", preprocessing) for site, found in lists.items()}
    epochs = rounds * settings.light.epochs_per_round
    validate = partial(_mean_dice, held_out=held_out, plan=plan, device=run.config.device)
    found = train_at_server(run, plan, "centralised", training.images, training.labels, validate, epochs)
    found.record(run, "centralised")
    return StageResult({"epoch": found.epoch, "steps": found.steps}, found.weights)


def _joined(parts: list[SiteArrays]) -> SiteArrays:
    images = torch.cat([part.images for part in parts])
    labels = torch.cat([part.labels for part in parts])
    return SiteArrays(images, labels, tuple(case for part in parts for case in part.cases))


def _mean_dice(network: nn.Module, held_out: dict[str, SiteArrays], plan: FederationPlan, device: str) -> float:
    forward = ForwardPass(plan.facts.num_classes, 2 * plan.settings.light.batch_size, device)
    scores = [quick_dice(network, part, forward, plan.facts.nested) for part in held_out.values()]
    return sum(scores) / len(scores)
