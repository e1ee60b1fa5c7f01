# SPDX-License-Identifier: Apache-2.0
"""Divergence of a network's logits from soft labels, that is, from probabilities that arrived as 8-bit levels.

Per pixel, with t the soft label and p = sigmoid(z):

- forward:   KL(t||p) = t log(t/p) + (1-t) log((1-t)/(1-p)) = BCE(z, t) - H(t)
- symmetric: KL(t||p) + KL(p||t) = (t - p)(logit t - z)

The same divergences as in ``losses.py`` (DSFedMed, arXiv 2601.16073), where the teacher's logits are not at hand.
Deviation: t is clamped to [1/510, 1 - 1/510], half a step of the 8-bit levels, since a level of 0 stands for any
probability below that and would make the symmetric form infinite.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

HALF_STEP = 0.5 / 255


def soft_kl(soft: Tensor, logits: Tensor, symmetric: bool = False) -> Tensor:
    """Return the divergence per pixel, (N, K, H, W), at least 0 up to rounding.

    Args:
        soft: (N, K, H, W) probabilities in [0, 1].
        logits: (N, K, H, W).
        symmetric: add KL(p||t) to the forward KL(t||p).
    """
    target = soft.clamp(HALF_STEP, 1.0 - HALF_STEP)
    if symmetric:
        return (target - torch.sigmoid(logits)) * (torch.logit(target) - logits)
    entropy = functional.binary_cross_entropy(target, target, reduction="none")
    return functional.binary_cross_entropy_with_logits(logits, target, reduction="none") - entropy
