# SPDX-License-Identifier: Apache-2.0
"""Regularity condensation: the server's network learns the public set, and from the best site's answer to each image.

Source and loss: `dsfedmed.algorithms.regularity`. HSSF makes four passes a round, with noise N(0, 0.1) cut at 0.2 on
the images.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dsfedmed.algorithms.regularity import GATE, best_of, image_accuracy, regularity_kl, structure_loss
from dsfedmed.algorithms.soft_divergence import HALF_STEP
from dsfedmed.seeds import generator
from dsfedmed.training.pool import at_size, device_of
from dsfedmed.training.precision import gradient_scaler
from dsfedmed.training.steps import descend

NOISE, LIMIT = 0.1, 0.2


@dataclass(frozen=True)
class PublicAnswers:
    """The public set, and what everybody answered to it.

    Attributes:
        images: (N, C, S, S), float32 in [0, 1].
        target: their mask channels (N, K, S, S).
        own: the network's own probabilities (N, K, S, S) before this round.
        sites: probabilities (N, K, h, w), one tensor a site.
    """

    images: Tensor
    target: Tensor
    own: Tensor
    sites: list[Tensor]


def condense(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    public: PublicAnswers,
    epochs: int,
    batch_size: int,
    seed: int,
) -> None:
    """Train ``network`` in place.

    Args:
        network: images (N, C, S, S) to logits (N, K, S, S).
        optimizer: over its parameters; its state is kept from round to round.
        public: images, masks and answers.
        epochs: passes.
        batch_size: images a step.
        seed: of order and noise.

    Raises:
        DSFedMedError: the loss is not finite; the network keeps the weights of the step before.
    """
    images, target = public.images, public.target
    best, accuracy = best_of([at_size(answer, target.shape[-2:]) for answer in public.sites], target)
    gate = ((accuracy > image_accuracy(public.own, target)) & (accuracy > GATE)).float()
    advice = torch.logit(best.clamp(HALF_STEP, 1 - HALF_STEP))
    device, random = device_of(network), generator(seed)
    scaler = gradient_scaler(device, "off")
    network.train()
    for _ in range(epochs):
        for step, batch in enumerate(torch.randperm(len(images), generator=random).split(batch_size)):
            noise = (NOISE * torch.randn(images[batch].shape, generator=random)).clamp(-LIMIT, LIMIT)
            logits = network((images[batch] + noise).to(device))
            masks = target[batch].to(device)
            value = structure_loss(logits, masks)
            value = value + regularity_kl(advice[batch].to(device), logits, gate[batch].to(device), masks)
            descend(value, optimizer, scaler, "condensation", step)
