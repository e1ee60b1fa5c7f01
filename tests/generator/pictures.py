# SPDX-License-Identifier: Apache-2.0
"""Random pictures with coarse and fine structure, for tests of the copy check."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def pictures(count: int, seed: int, channels: int = 1, side: int = 64) -> Tensor:
    """Return random images (count, channels, side, side) in [0, 1] with details from 3 to 30 % of their side."""
    generator = torch.Generator().manual_seed(seed)
    made = torch.zeros(count, channels, side, side)
    for cells, weight in ((6, 1.0), (14, 0.7), (32, 0.5)):
        coarse = torch.rand(count, channels, cells, cells, generator=generator) - 0.5
        made += weight * functional.interpolate(coarse, size=(side, side), mode="bicubic")
    return (0.5 + 0.6 * made).clamp(0, 1)
