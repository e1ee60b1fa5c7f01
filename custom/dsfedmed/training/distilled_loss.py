# SPDX-License-Identifier: Apache-2.0
"""Training under a guide: the loss gets the divergence from another network's output on the same images.

    loss(z, y) + weight * T^2 * pixel mean of KL( sigmoid(z_guide / T) || sigmoid(z / T) ) + penalty

The guide is a constant. So are pFedSAM's branches to each other in their two phases (arXiv 2509.15638; the form of the
divergence, its weight and T are [inferred]: K independent channels here, a softmax over classes there). Pixels without
a label are left out of the divergence as well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from dsfedmed.algorithms.ignored_pixels import valid_mean
from dsfedmed.algorithms.losses import bernoulli_kl
from dsfedmed.training.task import Loss


class DistilledLoss(nn.Module):
    """A network in training that asks its guide about every batch; what it learns is the network's alone.

    Args:
        network: images (N, C, S, S) to logits (N, K, S, S).
        guide: the same; run in evaluation mode, without gradients.
    """

    def __init__(self, network: nn.Module, guide: nn.Module) -> None:
        super().__init__()
        self.network = network
        self._guide = (guide.eval(),)  # in a tuple, so that it is no part of this module
        self.advice: Tensor = torch.zeros(())

    def forward(self, images: Tensor) -> Tensor:
        """Return the network's logits and keep the guide's."""
        with torch.no_grad():
            self.advice = self._guide[0](images).float()
        return cast(Tensor, self.network(images))


def guided_loss(
    pupil: DistilledLoss, loss: Loss, weight: float, temperature: float, penalty: Callable[[], Tensor] | None = None
) -> Loss:
    """Return the loss above for batches that went through ``pupil``."""

    def value(logits: Tensor, target: Tensor) -> Tensor:
        divergence = bernoulli_kl(pupil.advice, logits, temperature)
        total = loss(logits, target) + weight * valid_mean(divergence, target)
        return total if penalty is None else total + penalty()

    return value
