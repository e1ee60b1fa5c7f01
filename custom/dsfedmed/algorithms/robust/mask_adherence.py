# SPDX-License-Identifier: Apache-2.0
"""Whether images follow their masks: what a network that learned half of a part gains over one mask for all images.

Ours. With masks of other images, or one picture for all masks, the other half is guessed no better than by the best
mask that does not look at the image. How far an honest part comes depends on how alike its masks are, so that the gain
is counted as a share of what that mask leaves.
"""

from __future__ import annotations

import torch
from torch import Tensor

LEVELS = 20
"""Shares of the known masks that are tried as the border of the one mask."""
ALIKE = 0.99
"""Dice of the one mask from which on there is nothing that a network could add."""


def constant_dice(known: Tensor, asked: Tensor) -> float:
    """Return the mean Dice, 0 to 1, of the best single mask that the known masks suggest, none and everything included.

    It is the best for the masks that are asked for, so that the comparison favours it.

    Args:
        known: mask channels (N, K, S, S), float32 in {0, 1}.
        asked: mask channels (M, K, S, S), likewise; both empty counts 1, as in `dsfedmed.evaluation.metrics`.
    """
    shares, best = known.mean(dim=0), torch.zeros(known.shape[1], dtype=torch.float64)
    sizes = asked.flatten(2).sum(-1).double()
    for level in torch.linspace(0, 1 + 1 / LEVELS, LEVELS + 2).tolist():  # the last one is above all: no pixel
        mask = (shares >= level * shares.flatten(1).amax(dim=1).clamp(min=1e-6)[:, None, None]).float()
        inter = (asked * mask).flatten(2).sum(-1).double()
        together = sizes + mask.flatten(1).sum(-1).double()
        dice = torch.where(together > 0, 2 * inter / together.clamp(min=1), torch.ones_like(inter))
        best = torch.maximum(best, dice.mean(dim=0))
    return float(best.mean())


def adherence(dice: float, constant: float) -> float | None:
    """Return which share of what the one mask leaves a network gains, at most 1; below 0 it is worse than the one mask.

    None where the masks are so alike that nothing is left to gain.

    Args:
        dice: the network's mean Dice on the other half, 0 to 1.
        constant: `constant_dice` there.
    """
    return None if constant >= ALIKE else (dice - constant) / (1 - constant)
