# SPDX-License-Identifier: Apache-2.0
"""Supervised loss and Bernoulli divergences of two segmenters' logits.

Source: DSFedMed, arXiv 2601.16073, and its released code.

All functions take logits (N, K, H, W) of K independent binary channels; p = sigmoid(logits / T).

- supervised loss      l_i   = mean over channels and pixels of BCE with logits, positive pixels weighted
- Bernoulli divergence KL(p||q) = p log(p/q) + (1-p) log((1-p)/(1-q)), per pixel, times T^2
- disagreement         L_KL  = KL(p||q) + KL(q||p), the Jeffreys divergence = (p - q)(a - b), a = logit p, b = logit q

Deviations:
- The paper's L_GT is a cross-entropy; the released code uses BCE with ``pos_weight`` 2. Here: BCE, weight as an option.
- The released code adds 1e-8 inside each logarithm. The default here is the stable form over log-sigmoids, which has
  no such floor; ``bernoulli_kl_released`` is the released form. They agree to about 1e-6 while the logits stay below
  ten in magnitude, and part beyond, where the floor of the released form bends its gradient.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from dsfedmed.algorithms.ignored_pixels import valid_mean_per_sample

RELEASED_EPSILON = 1e-8


def bce_per_sample(logits: Tensor, target: Tensor, pos_weight: float = 1.0) -> Tensor:
    """Return the binary cross-entropy of each sample.

    Args:
        logits: (N, K, H, W).
        target: (N, K, H, W) in [0, 1]; NaN where a pixel is ignored.
        pos_weight: factor on the positive pixels' term; the released code has 2.

    Returns:
        (N,) means over channels and the pixels that are not ignored; 0 where all are.
    """
    weight = torch.as_tensor(pos_weight, dtype=logits.dtype, device=logits.device)
    known = target.nan_to_num(nan=0.0)
    loss = functional.binary_cross_entropy_with_logits(logits, known, pos_weight=weight, reduction="none")
    return valid_mean_per_sample(loss, target)


class WeightedBce(nn.Module):
    """The supervised loss l as a module, for bundles: the mean over all pixels.

    Args:
        pos_weight: factor on the positive pixels' term; the released code has 2.
    """

    def __init__(self, pos_weight: float = 2.0) -> None:
        super().__init__()
        self.pos_weight = pos_weight

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of logits and mask channels (N, K, H, W), a scalar."""
        weight = torch.as_tensor(self.pos_weight, dtype=logits.dtype, device=logits.device)
        return functional.binary_cross_entropy_with_logits(logits, target, pos_weight=weight)


def bernoulli_kl(p_logits: Tensor, q_logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Return KL(p||q) times T^2 per pixel, (N, K, H, W), by log-sigmoids (stable for any finite logits)."""
    a, b = p_logits / temperature, q_logits / temperature
    inside = torch.sigmoid(a) * (functional.logsigmoid(a) - functional.logsigmoid(b))
    outside = torch.sigmoid(-a) * (functional.logsigmoid(-a) - functional.logsigmoid(-b))
    return (inside + outside) * temperature**2


def bernoulli_kl_released(p_logits: Tensor, q_logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Return KL(p||q) times T^2 per pixel as the released code computes it, with 1e-8 inside each logarithm.

    The released ``kl_loss(pred, target, T)`` is ``bernoulli_kl_released(target, pred, T)``.
    """
    p, q = torch.sigmoid(p_logits / temperature), torch.sigmoid(q_logits / temperature)
    inside = p * (torch.log(p + RELEASED_EPSILON) - torch.log(q + RELEASED_EPSILON))
    outside = (1 - p) * (torch.log(1 - p + RELEASED_EPSILON) - torch.log(1 - q + RELEASED_EPSILON))
    return (inside + outside) * temperature**2


def symmetric_kl(first_logits: Tensor, second_logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Return KL(p||q) + KL(q||p), times T^2, per pixel, (N, K, H, W); never negative, symmetric."""
    a, b = first_logits / temperature, second_logits / temperature
    return (torch.sigmoid(a) - torch.sigmoid(b)) * (a - b) * temperature**2


def symmetric_kl_per_sample(first_logits: Tensor, second_logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Return the disagreement of each sample, (N,): the mean of ``symmetric_kl`` over channels and pixels."""
    return symmetric_kl(first_logits, second_logits, temperature).flatten(1).mean(dim=1)
