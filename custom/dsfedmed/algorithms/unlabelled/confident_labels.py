# SPDX-License-Identifier: Apache-2.0
"""FixMatch (Sohn et al., NeurIPS 2020, arXiv 2001.07685): a network's own sure answers are its labels.

For an unlabelled image, p the probabilities on its weak view, q those on its strong one (the paper's equation 4, for
every pixel and each of K independent channels instead of a softmax over classes):

    L = mean over all pixels of  1[ max(p, 1 - p) >= tau ] BCE( q, 1[p > 0.5] )

The mean is over all pixels, the unsure ones counting 0, as the paper divides by the whole batch: the loss grows as the
network becomes surer, and needs no ramp-up.

Deviations: the paper classifies whole images. Its strong view is RandAugment, which moves pixels, and CutOut; here it
changes intensities alone, holes included (`dsfedmed.data.strong_augmentation`), so that pixels stay in line. Its batch
has seven unlabelled images for each labelled one, here as many; its result is a running mean of the weights, here what
the run's settings choose (``schedule.average_rounds``). The weak view is asked in evaluation mode.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def is_sure(probability: Tensor, threshold: float) -> Tensor:
    """Return 1 where a pixel's answer is at least ``threshold`` sure, else 0, of probabilities (N, K, H, W)."""
    return (torch.maximum(probability, 1 - probability) >= threshold).float()


def confident_loss(logits: Tensor, probability: Tensor, threshold: float) -> Tensor:
    """Return L, a scalar.

    Args:
        logits: of q on the strong view, (N, K, H, W).
        probability: p on the weak view, (N, K, H, W), without gradient.
        threshold: tau in (0.5, 1].
    """
    label = (probability > 0.5).float()
    bce = functional.binary_cross_entropy_with_logits(logits, label, reduction="none")
    return (is_sure(probability, threshold) * bce).mean()
