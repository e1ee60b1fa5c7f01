# SPDX-License-Identifier: Apache-2.0
"""The upper bound "centralised": one light network trained on all source sites' images in one place.

Possible in simulation only, where the server's machine holds every site's folder. At real sites the server has no data
path, and asking for this method stops the run before anything is trained.
"""

from __future__ import annotations

import torch
from torch import nn

from dsfedmed.data.arrays import SiteArrays, load_part
from dsfedmed.data.datalist import SiteDatalist, load_datalist
from dsfedmed.errors import ConfigError
from dsfedmed.evaluation.protocol import quick_dice
from dsfedmed.federated.plan import Plan
from dsfedmed.federated.site_config import load_site_config
from dsfedmed.federated.site_tasks.networks import copied_tensors
from dsfedmed.federated.workflow import FederatedWorkflow
from dsfedmed.seeds import derive_seed
from dsfedmed.store.stage_store import StageResult
from dsfedmed.training.light import train_light


def site_folders(flow: FederatedWorkflow) -> dict[str, SiteDatalist]:
    """Return every source site's datalist, read from the server's machine.

    Raises:
        ConfigError: the sites' folders are not here.
    """
    found = {}
    for site in flow.sources:
        folder = load_site_config(flow.local_folder, site).data
        if folder is None or not folder.is_dir():
            reason = f"the images of {site} are not on the server's machine, and never should be"
            raise ConfigError("compare.centralised", reason, "Use it in simulation only, or leave it out")
        found[site] = load_datalist(folder)
    return found


def centralised(flow: FederatedWorkflow, plan: Plan) -> StageResult:
    """Train on the union for as many passes as the federation makes; the best epoch by mean validation Dice is kept.

    Steps are those of FedAvg at equal rounds, give or take the sites' last batches; Adam's state is one and goes on.
    """
    lists, bundle = site_folders(flow), plan.light_bundle
    preprocessing, settings = bundle.preprocessing(), flow.settings
    training = _joined([load_part(found, "training", preprocessing) for found in lists.values()])
    held_out = {site: load_part(found, "validation", preprocessing) for site, found in lists.items()}
    network = plan.light_network().to(flow.config.device)
    optimizer, loss, augmentation = bundle.optimizer(network.parameters()), bundle.loss(), bundle.augmentation()
    best, chosen, weights, steps = -1.0, 0, copied_tensors(network), 0
    epochs = settings.rounds * settings.light.epochs_per_round
    for epoch in range(1, epochs + 1):
        seed = derive_seed(settings.seed, "centralised", epoch)
        steps += train_light(
            network, loss, optimizer, training.images, training.labels, plan.facts.num_classes, plan.facts.nested,
            augmentation, settings.light.batch_size, seed, epochs=1, precision=settings.light.autocast,
        ).steps  # fmt: skip
        dice = _mean_dice(network, held_out, plan, flow.config.device)
        flow.progress.step(epoch, epochs, f"centralised  validation Dice {dice * 100:.1f}")
        if dice > best:
            best, chosen, weights = dice, epoch, copied_tensors(network)
    flow.record.add("selected", centralised={"round": chosen, "local_steps": steps, "validation_dice": best})
    flow.record.add("budgets", centralised={"rounds": epochs, "local_steps": steps})
    return StageResult({"epoch": chosen, "steps": steps}, weights)


def _joined(parts: list[SiteArrays]) -> SiteArrays:
    images = torch.cat([part.images for part in parts])
    labels = torch.cat([part.labels for part in parts])
    return SiteArrays(images, labels, tuple(case for part in parts for case in part.cases))


def _mean_dice(network: nn.Module, held_out: dict[str, SiteArrays], plan: Plan, device: str) -> float:
    batch = 2 * plan.settings.light.batch_size
    scores = [
        quick_dice(network, part, plan.facts.num_classes, plan.facts.nested, batch, device)
        for part in held_out.values()
    ]
    return sum(scores) / len(scores)
