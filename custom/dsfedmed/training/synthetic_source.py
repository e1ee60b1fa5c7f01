# SPDX-License-Identifier: Apache-2.0
"""Synthetic pairs with the teacher's soft labels, as a light network learns them.

The loss of a synthetic batch is

    supervised_weight * loss(z, y) + kl_weight * pixel mean of D(p_T, sigmoid(z))

with p_T the teacher's soft labels and D the forward Bernoulli KL(p_T||p_S) or the symmetric one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from dsfedmed.algorithms.ignored_pixels import valid_mean
from dsfedmed.algorithms.soft_divergence import soft_kl
from dsfedmed.devices import to_device
from dsfedmed.errors import DataError
from dsfedmed.seeds import generator
from dsfedmed.training.pool import at_size, unit_images
from dsfedmed.training.steps import endless_batches, forward
from dsfedmed.training.task import Batch, LabelledImages, TrainingTask


@dataclass(frozen=True)
class SyntheticSource:
    """Synthetic pairs with the teacher's soft labels, and how much they count.

    Attributes:
        images: (N, C, S, S), float32 in [0, 1] or uint8.
        label_maps: (N, 1, S, S), uint8.
        soft: teacher probabilities (N, K, h, w), float in [0, 1] or uint8 levels (p = level / 255); None for none.
        supervised_weight: factor of the loss on the synthetic masks.
        kl_weight: factor of the pixel-mean divergence from the soft labels.
        divergence: "forward" KL(teacher||light), or "symmetric".
        batch_size: synthetic images a step; None for the task's.
    """

    images: Tensor
    label_maps: Tensor
    soft: Tensor | None = None
    supervised_weight: float = 0.25
    kl_weight: float = 2.5
    divergence: Literal["forward", "symmetric"] = "forward"
    batch_size: int | None = None

    def __post_init__(self) -> None:
        """Raise ``DataError`` unless images, label maps and soft labels pair up."""
        count = len(self.images)
        paired = count > 0 and len(self.label_maps) == count and (self.soft is None or len(self.soft) == count)
        if not paired:
            soft = None if self.soft is None else len(self.soft)
            reason = f"{count} images, {len(self.label_maps)} label maps and {soft} soft labels"
            raise DataError("synthetic source", reason, "Give one label map and one soft label for each image")


def synthetic_batches(source: SyntheticSource, steps: int, task: TrainingTask, seed: int) -> Iterator[Batch]:
    """Yield batches of a seeded draw from the source; only what is drawn is turned into floats and resampled."""
    size = source.batch_size or task.batch_size
    needed = min(steps * size, len(source.images))
    drawn = torch.randperm(len(source.images), generator=generator(seed))[:needed]
    pairs = LabelledImages(unit_images(source.images[drawn]), source.label_maps[drawn])
    soft = None
    if source.soft is not None:
        soft = at_size(unit_images(source.soft[drawn]), pairs.images.shape[-2:])
    return endless_batches(pairs, soft, replace(task, batch_size=size), seed)


def synthetic_loss(network: nn.Module, batch: Batch, source: SyntheticSource, task: TrainingTask) -> Tensor:
    """Return the weighted loss of a batch of `synthetic_batches`."""
    logits, target = forward(network, batch, task)
    value = source.supervised_weight * task.loss(logits, target)
    if "soft" in batch and source.kl_weight > 0:
        soft = to_device(batch["soft"], logits.device)
        divergence = soft_kl(soft, logits, symmetric=source.divergence == "symmetric")
        value = value + source.kl_weight * valid_mean(divergence, target)
    return value
