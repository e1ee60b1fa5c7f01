# SPDX-License-Identifier: Apache-2.0
"""The public labelled set at a site: its loss, and passes over it before the site's own images.

Sources: SAM-Fed (arXiv 2511.14302) trains on the public set first and on the site's own images then; HSSF's release
does so too (``train.py``). Sites of one network there (LSSL) make one pass with every pass over the own images; sites
with networks of their own (RF) make four, with noise N(0, 0.1) cut at 0.2 on the images.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor, nn

from dsfedmed.algorithms.regularity import regularity_kl, structure_loss
from dsfedmed.algorithms.soft_divergence import HALF_STEP
from dsfedmed.devices import to_device
from dsfedmed.seeds import derive_seed, generator
from dsfedmed.training.pool import device_of
from dsfedmed.training.precision import gradient_scaler
from dsfedmed.training.semi_supervised.condensation import LIMIT, NOISE
from dsfedmed.training.steps import descend, endless_batches, forward
from dsfedmed.training.task import Batch, LabelledImages, TrainingTask

PublicLoss = Callable[[nn.Module, Batch, TrainingTask], Tensor]


@dataclass(frozen=True)
class PublicSource:
    """The public set at a site.

    Attributes:
        images: (N, C, S, S), float32 in [0, 1].
        label_maps: (N, 1, S, S), uint8.
        advice: the server's probabilities (N, K, S, S) for RF, and as a last channel the gate of each image; None for
            homogeneous sites.
    """

    images: Tensor
    label_maps: Tensor
    advice: Tensor | None = None

    @property
    def pairs(self) -> LabelledImages:
        """Images and label maps."""
        return LabelledImages(self.images, self.label_maps)


def public_loss(network: nn.Module, batch: Batch, task: TrainingTask) -> Tensor:
    """Return the supervised loss of a public batch; with the server's advice, that of RF."""
    logits, target = forward(network, batch, task)
    if "soft" not in batch:
        return task.loss(logits, target)
    advice = to_device(batch["soft"], logits.device)
    gate = (advice[:, -1].flatten(1).mean(dim=1) > 0.5).float()
    server = torch.logit(advice[:, :-1].clamp(HALF_STEP, 1 - HALF_STEP))
    return structure_loss(logits, target) + regularity_kl(server, logits, gate, target)


def train_on_public(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    public: PublicSource,
    task: TrainingTask,
    epochs: int,
    seed: int,
    loss: PublicLoss = public_loss,
) -> tuple[float, int]:
    """Train ``network``, in training mode already, in place; return the sum of the steps' losses and their number.

    Args:
        network: images (N, C, S, S) to logits (N, K, S, S).
        optimizer: over its parameters.
        public: the labelled set; with the server's advice its images get RF's noise.
        task: loss, augmentation and batch size.
        epochs: passes.
        seed: of order, augmentation and noise.
        loss: of the network and a batch.

    Raises:
        DSFedMedError: the loss is not finite; the network keeps the weights of the step before.
    """
    scaler = gradient_scaler(device_of(network), task.precision)
    random, total = generator(derive_seed(seed, "noise")), 0.0
    batches = endless_batches(public.pairs, public.advice, task, seed)
    steps = epochs * math.ceil(len(public.images) / task.batch_size)
    for step, batch in enumerate(islice(batches, steps)):
        if public.advice is not None:
            noise = (NOISE * torch.randn(batch["image"].shape, generator=random)).clamp(-LIMIT, LIMIT)
            batch = {**batch, "image": batch["image"] + noise}
        total += descend(loss(network, batch, task), optimizer, scaler, task.where, step)
    return total, steps
