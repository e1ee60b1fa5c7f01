# SPDX-License-Identifier: Apache-2.0
"""What every training task of a site does: fit on its images, validate, and keep the optimiser between rounds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from monai.transforms import Compose, MapTransform
from torch import nn

from dsfedmed.evaluation.protocol import ForwardPass, quick_dice
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.task_progress import ProgressCallback
from dsfedmed.federated.wire.message import CACHED_ROUNDS
from dsfedmed.federated.wire.specs import RoundFacts, RunFacts
from dsfedmed.seeds import derive_seed
from dsfedmed.store.files import inside, read_tensors, write_tensors
from dsfedmed.training.light import LocalTraining, TrainingSummary, train_light
from dsfedmed.training.optimizer_state import load_optimizer_state, optimizer_state_tensors
from dsfedmed.training.task import LabelledImages, Loss, TrainingTask


@dataclass(frozen=True)
class SiteData:
    """The site's images as a request wants them prepared.

    Attributes:
        site: whose they are.
        common: what the request says of the run.
        batch_size: images a gradient step.
        then: MONAI dict transform of a training image after the bundle's augmentation; None for none.
    """

    site: SiteContext
    common: RunFacts
    batch_size: int
    then: MapTransform | None = None


def fit(
    data: SiteData,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    seed: int,
    training: LocalTraining,
    loss: Loss | None = None,
    on_progress: ProgressCallback | None = None,
) -> TrainingSummary:
    """Train on the site's images with the bundle's transforms, and its loss where no other is given.

    ``on_progress`` is called after each step; by default it is the site's.
    """
    site, common = data.site, data.common
    bundle, arrays = site.bundle(common.light), site.arrays("training", common.light)
    report, augmentation = on_progress or site.on_progress, bundle.augmentation()
    if data.then is not None:
        augmentation = Compose([augmentation, data.then]).flatten()
    task = TrainingTask(
        common.num_classes, common.nested, loss or bundle.loss(), augmentation, data.batch_size,
        common.autocast, site.config.workers,
    )  # fmt: skip
    images = LabelledImages(arrays.images, arrays.labels)
    return train_light(
        network, optimizer, images, task, training, seed, on_step=lambda done, total, _: report(done, total)
    )


def fit_in_round(
    data: SiteData,
    facts: RoundFacts,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    training: LocalTraining,
    loss: Loss | None = None,
    part: str = "",
) -> TrainingSummary:
    """`fit` as a part of a round: with that round's draws, and the optimiser as the round before left it.

    ``part`` tells apart the trainings of one round, where it has several.
    """
    site, names = data.site, (facts.training, part) if part else (facts.training,)
    restore_optimizer(site, facts, optimizer, "-".join(names))
    seed = derive_seed(data.common.seed, site.name, *names, facts.round)
    summary = fit(data, network, optimizer, seed, training, loss=loss)
    keep_optimizer(site, facts, optimizer, "-".join(names))
    return summary


def validate(data: SiteData, network: nn.Module) -> float:
    """Return the mean Dice on the site's validation part, 0 to 1."""
    arrays = data.site.arrays("validation", data.common.light)
    # Without gradients twice as many images fit as in training, and at 1024 px no more should be tried.
    forward = ForwardPass(data.common.num_classes, 2 * data.batch_size, data.site.config.device)
    return quick_dice(network, arrays, forward, data.common.nested)


def restore_optimizer(site: SiteContext, facts: RoundFacts, optimizer: torch.optim.Optimizer, name: str) -> None:
    """Take up the optimiser's state of the round before; a site that missed that round starts with a new one."""
    path = _state_file(site, name, facts.round - 1)
    if facts.keep_optimizer and path.exists():
        rates = [group["lr"] for group in optimizer.param_groups]
        load_optimizer_state(optimizer, read_tensors(path), site.name)
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate  # the request's, whatever the round before had


def keep_optimizer(site: SiteContext, facts: RoundFacts, optimizer: torch.optim.Optimizer, name: str) -> None:
    """Keep the optimiser's state of this round, if the run wants that."""
    if facts.keep_optimizer:
        write_tensors(_state_file(site, name, facts.round), optimizer_state_tensors(optimizer))
        _state_file(site, name, facts.round - CACHED_ROUNDS).unlink(missing_ok=True)


def _state_file(site: SiteContext, name: str, after_round: int) -> Path:
    return inside(site.folder / "optimizer", f"{name}-{after_round:04d}.safetensors")
