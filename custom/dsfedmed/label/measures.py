# SPDX-License-Identifier: Apache-2.0
"""The numbers behind the label server's scores."""

from __future__ import annotations

import torch
from torch import Tensor

from dsfedmed.data.labels import to_channels


def mean_entropy(probability: Tensor) -> float:
    """Return the mean binary entropy of probabilities of any shape, in bits: 0 certain, 1 a coin toss everywhere."""
    p = torch.as_tensor(probability, dtype=torch.float64).clamp(1e-12, 1 - 1e-12)
    return float(-(p * p.log2() + (1 - p) * (1 - p).log2()).mean())


def mean_dice(predicted: Tensor, submitted: Tensor, num_classes: int, nested: bool = True) -> float:
    """Return the mean Dice over classes of two label maps (1, X, Y); both empty counts 1."""
    a, b = (to_channels(label_map, num_classes, nested) > 0.5 for label_map in (predicted, submitted))
    both = (a & b).flatten(1).sum(1).double()
    sizes = a.flatten(1).sum(1).double() + b.flatten(1).sum(1).double()
    return float(torch.where(sizes > 0, 2 * both / sizes.clamp(min=1), torch.ones_like(both)).mean())
