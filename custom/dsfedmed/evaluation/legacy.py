# SPDX-License-Identifier: Apache-2.0
"""The authors' own evaluation, for comparison with published tables only.

DSFedMed's and FedFMS's released ``eval_seg`` binarises the raw logits (not probabilities) and the mask
at five thresholds and averages the five Dice and IoU values, per image, then over the images. A raw
logit of 0.1 to 0.9 is a probability of 0.52 to 0.71, so this protocol rewards confident masks.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

THRESHOLDS = (0.1, 0.3, 0.5, 0.7, 0.9)
DICE_EPS = 1e-4
IOU_EPS = 1e-6


@dataclass(frozen=True)
class LegacyScores:
    """Mean over thresholds, classes and images; fractions in [0, 1]."""

    dice: float
    iou: float


def legacy_eval(logits: torch.Tensor, target: torch.Tensor) -> LegacyScores:
    """Score a batch as the authors' release does.

    Dice is ``(2 I + 1e-4) / (P + T + 1e-4)``, IoU ``(I + 1e-6) / (U + 1e-6)``. Deviation: the release
    truncates IoU's inputs to int32, which changes nothing for binary masks.

    Args:
        logits: (N, K, S, S) raw network outputs.
        target: (N, K, S, S) mask channels in [0, 1]; NaN where a pixel is ignored, which then counts as neither.

    Raises:
        ValueError: the shapes differ or the batch is empty.
    """
    if logits.ndim != 4 or logits.shape != target.shape or not logits.numel():
        raise ValueError(f"expected two (N, K, S, S) tensors, got {tuple(logits.shape)} and {tuple(target.shape)}")
    dice, iou = [], []
    valid = ~target.isnan()
    for threshold in THRESHOLDS:
        predicted, true = logits > threshold, target > threshold
        predicted = predicted & valid
        inter = (predicted & true).flatten(2).sum(-1).double()
        sizes = predicted.flatten(2).sum(-1).double() + true.flatten(2).sum(-1).double()
        dice.append(((2 * inter + DICE_EPS) / (sizes + DICE_EPS)).mean())
        iou.append(((inter + IOU_EPS) / (sizes - inter + IOU_EPS)).mean())
    return LegacyScores(float(torch.stack(dice).mean()), float(torch.stack(iou).mean()))
