# SPDX-License-Identifier: Apache-2.0
"""Whether images follow their masks: what a network that learned half of a part gains over one mask for all images.

Ours. With masks of other images, or one picture for all masks, the other half is guessed no better than by the best
mask that does not look at the image. How far an honest part comes depends on how alike its masks are, so that the gain
is counted as a share of what that mask leaves. Objects and background are both looked at and the better one counts:
where one of them fills the images, everything is a good guess of it, and the other one shows what was learned.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

LEVELS = 20
"""Shares of the known masks that are tried as the border of the one mask."""
ALIKE = 0.99
"""Dice of the one mask from which on there is nothing that a network could add."""


@dataclass(frozen=True)
class Following:
    """How far masks are followed.

    Attributes:
        dice: of the network, 0 to 1.
        constant: of the best single mask, 0 to 1.
    """

    dice: float
    constant: float

    @property
    def share(self) -> float | None:
        """Share of what the one mask leaves that the network gains, at most 1; None where it leaves nothing."""
        return None if self.constant >= ALIKE else (self.dice - self.constant) / (1 - self.constant)


def following(predicted: Tensor, known: Tensor, asked: Tensor) -> Following:
    """Return how far a network follows the masks that it has not learned: of objects or background, the larger share.

    Args:
        predicted: for the images of ``asked``, (M, K, S, S), float32 in {0, 1}.
        known: mask channels that it has learned, (N, K, S, S), likewise.
        asked: mask channels that it has not, (M, K, S, S).
    """
    objects = Following(float(_dice(predicted, asked).mean()), constant_dice(known, asked))
    rest = Following(float(_dice(1 - predicted, 1 - asked).mean()), constant_dice(1 - known, 1 - asked))
    if objects.share is None or rest.share is None:
        return objects
    return max(objects, rest, key=lambda side: (side.share or 0.0, -side.constant))


def constant_dice(known: Tensor, asked: Tensor) -> float:
    """Return the mean Dice, 0 to 1, of the best single mask that the known masks suggest, none and everything included.

    It is the best for the masks that are asked for, so that the comparison favours it.

    Args:
        known: mask channels (N, K, S, S), float32 in {0, 1}.
        asked: mask channels (M, K, S, S), likewise; both empty counts 1, as in `dsfedmed.evaluation.metrics`.
    """
    shares, best = known.mean(dim=0), torch.zeros(known.shape[1], dtype=torch.float64)
    largest = shares.flatten(1).amax(dim=1).clamp(min=1e-6)[:, None, None]
    for level in torch.linspace(0, 1 + 1 / LEVELS, LEVELS + 2).tolist():  # the last one is above all: no pixel
        best = torch.maximum(best, _dice((shares >= level * largest).float(), asked).mean(dim=0))
    return float(best.mean())


def _dice(masks: Tensor, asked: Tensor) -> Tensor:
    """Return the Dice of masks, or of one for all, by image and class, float64 (M, K)."""
    inter = (asked * masks).flatten(2).sum(-1).double()
    together = asked.flatten(2).sum(-1).double() + masks.flatten(-2).sum(-1).double()
    return torch.where(together > 0, 2 * inter / together.clamp(min=1), torch.ones_like(inter))
