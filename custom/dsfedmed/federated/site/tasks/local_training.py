# SPDX-License-Identifier: Apache-2.0
"""What every training task of a site does: fit on its images, validate, and keep the optimiser between rounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from dsfedmed.evaluation.protocol import ForwardPass, quick_dice
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.task_progress import OnProgress
from dsfedmed.federated.wire.message import CACHED_ROUNDS
from dsfedmed.store.files import read_tensors, write_tensors
from dsfedmed.training.light import LocalTraining, TrainingSummary, train_light
from dsfedmed.training.optimizer_state import load_optimizer_state, optimizer_state_tensors
from dsfedmed.training.synthetic_source import SyntheticSource
from dsfedmed.training.task import LabelledImages, Loss, TrainingTask


def fit(
    site: SiteContext,
    info: dict[str, Any],
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    seed: int,
    epochs: int,
    synthetic: SyntheticSource | None,
    proximal: float = 0.0,
    loss: Loss | None = None,
    on_progress: OnProgress | None = None,
) -> TrainingSummary:
    """Train on the site's images with the bundle's transforms, and its loss where no other is given.

    ``on_progress`` is called after each step; by default it is the site's.
    """
    bundle, arrays = site.bundle(info["light"]), site.arrays("training", info["light"])
    report = on_progress or site.on_progress
    task = TrainingTask(
        info["num_classes"], info["nested"], loss or bundle.loss(), bundle.augmentation(), info["batch_size"],
        info["autocast"], site.config.workers,
    )  # fmt: skip
    return train_light(
        network,
        optimizer,
        LabelledImages(arrays.images, arrays.labels),
        task,
        LocalTraining(epochs, synthetic=synthetic, proximal=proximal),
        seed,
        on_step=lambda done, total, _: report(done, total),
    )


def validate(site: SiteContext, info: dict[str, Any], network: nn.Module) -> float:
    """Return the mean Dice on the site's validation part, 0 to 1."""
    arrays = site.arrays("validation", info["light"])
    # Without gradients twice as many images fit as in training, and at 1024 px no more should be tried.
    forward = ForwardPass(info["num_classes"], 2 * info["batch_size"], site.config.device)
    return quick_dice(network, arrays, forward, info["nested"])


def _state_file(site: SiteContext, name: str, after_round: int) -> Path:
    return site.folder / "optimizer" / f"{name}-{after_round:04d}.safetensors"


def restore_optimizer(site: SiteContext, info: dict[str, Any], optimizer: torch.optim.Optimizer, name: str) -> None:
    """Take up the optimiser's state behind the round before; a site that missed that round starts it anew."""
    path = _state_file(site, name, info["round"] - 1)
    if info["keep_optimizer"] and path.exists():
        load_optimizer_state(optimizer, read_tensors(path), site.name)


def keep_optimizer(site: SiteContext, info: dict[str, Any], optimizer: torch.optim.Optimizer, name: str) -> None:
    """Keep the optimiser's state behind this round, if the run wants that."""
    if info["keep_optimizer"]:
        write_tensors(_state_file(site, name, info["round"]), optimizer_state_tensors(optimizer))
        _state_file(site, name, info["round"] - CACHED_ROUNDS).unlink(missing_ok=True)
