# SPDX-License-Identifier: Apache-2.0
"""Which generated images are usable at all, and a cheap look at whether they follow their masks."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

BLANK_DEVIATION = 0.02
SATURATED_SHARE = 0.6
BLACK_SHARE = 0.98


def usable(images: Tensor) -> Tensor:
    """Return bool (N,): finite, not blank and not saturated images; uint8 or float in [0, 1], (N, C, S, S).

    Blank: grey standard deviation below 0.02. Saturated: more than 60 % of the values at white or 98 % at black (much
    black is normal in medical images).
    """
    values = images.to(torch.float32)
    if not images.is_floating_point():
        values = values / 255
    finite = torch.isfinite(values).flatten(1).all(dim=1)
    flat = values.nan_to_num(0.0, 0.0, 0.0).flatten(1)
    textured = flat.std(dim=1) >= BLANK_DEVIATION
    white = (flat >= 254 / 255).float().mean(dim=1) <= SATURATED_SHARE
    black = (flat <= 1 / 255).float().mean(dim=1) <= BLACK_SHARE
    return finite & textured & white & black


def mask_contrast(images: Tensor, masks: Tensor, ring_px: int = 4) -> Tensor:
    """Return float32 (N,): mean grey inside each mask minus that of the ring of ``ring_px`` pixels around it.

    Real pairs have a typical contrast (a dark lesion, a bright disc); synthetic pairs that follow their masks have the
    same, pairs that ignore them have about 0. Images uint8 or float in [0, 1], (N, C, S, S); masks (N, 1, S, S) in
    {0, 1}. NaN where a mask or its ring is empty.
    """
    grey = images.to(torch.float32).mean(dim=1, keepdim=True)
    if not images.is_floating_point():
        grey = grey / 255
    inside = masks.to(torch.float32)
    ring = functional.max_pool2d(inside, 2 * ring_px + 1, stride=1, padding=ring_px) - inside
    means = [(grey * area).sum(dim=(1, 2, 3)) / area.sum(dim=(1, 2, 3)) for area in (inside, ring)]
    return means[0] - means[1]
