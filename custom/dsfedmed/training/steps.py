# SPDX-License-Identifier: Apache-2.0
"""What one gradient step of a light network is made of: a batch, the forward pass, and the descent."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from dsfedmed.data.batches import augmented_batches
from dsfedmed.data.labels import to_channels
from dsfedmed.devices import to_device
from dsfedmed.errors import DSFedMedError
from dsfedmed.seeds import derive_seed
from dsfedmed.training.pool import device_of
from dsfedmed.training.precision import autocast, gradient_step
from dsfedmed.training.task import Batch, LabelledImages, TrainingTask


def endless_batches(pairs: LabelledImages, soft: Tensor | None, task: TrainingTask, seed: int) -> Iterator[Batch]:
    """Yield batches epoch after epoch, each epoch with its own seed; ``soft`` (N, K, S, S) moves with the images."""
    epoch = 0
    while True:
        drawn = derive_seed(seed, epoch)
        yield from augmented_batches(
            pairs.images,
            pairs.label_maps,
            task.augmentation,
            task.batch_size,
            drawn,
            extra=soft,
            workers=task.workers,
        )
        epoch += 1


def forward(network: nn.Module, batch: Batch, task: TrainingTask) -> tuple[Tensor, Tensor]:
    """Return logits and mask channels of a batch, both (N, K, S, S), float32, on the network's device."""
    device = device_of(network)
    target = to_device(to_channels(batch["label"], task.num_classes, task.nested), device)
    with autocast(device, task.precision):
        logits = network(to_device(batch["image"], device))
    return logits.float(), target


def descend(
    value: Tensor,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    where: str,
    step: int,
    clip_norm: float = 0.0,
) -> float:
    """Take one gradient step, of gradients no longer than ``clip_norm`` where that is given, and return the loss.

    Raises:
        DSFedMedError: the loss is not finite; the weights stay those of the step before.
    """
    number = float(value.detach())
    if not math.isfinite(number):
        fix = "Lower the learning rate, or run the site check on its images"
        raise DSFedMedError(where, f"the loss is {number} at step {step + 1}", fix)
    gradient_step(value, optimizer, scaler, clip_norm)
    return number
