# SPDX-License-Identifier: Apache-2.0
"""Batch augmentation for the teacher's pre-training, wide enough to carry over to images of another kind.

Whole batches are warped and recoloured at once (MONAI's dict transforms work on one sample at a time, about twenty
times slower at these sizes). Every draw comes from one ``torch.Generator``.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

GREY_CHANCE = 0.5
INVERT_CHANCE = 0.2
SPECKLE_CHANCE = 0.4
BLUR_CHANCE = 0.2
SHADING_CHANCE = 0.2


def augment(images: Tensor, masks: Tensor, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return a warped and recoloured copy of a batch.

    Args:
        images: (N, 3, T, T) float in [0, 1]; T may be larger than ``size``, so that zooming in keeps detail.
        masks: (N, 1, T, T) float in {0, 1, 255 (ignored)}; resampled by nearest neighbour, so that no value is new.
        size: side of the result, in pixels.
        generator: source of all randomness.

    Returns:
        images (N, 3, size, size) in [0, 1] and masks (N, 1, size, size) of the values that came in.
    """
    grid = functional.affine_grid(_affine(len(images), generator), [len(images), 3, size, size], align_corners=False)
    images = functional.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    masks = functional.grid_sample(masks, grid, mode="nearest", padding_mode="reflection", align_corners=False)
    return recolour(images, generator), masks


def recolour(images: Tensor, generator: torch.Generator) -> Tensor:
    """Drop colour, invert, shade, change gain and gamma, speckle and blur; (N, 3, S, S) in [0, 1] -> the same."""
    count = len(images)
    weights = torch.rand(count, 3, 1, 1, generator=generator) + 0.1
    grey = (images * weights).sum(1, keepdim=True) / weights.sum(1, keepdim=True)
    images = torch.where(_chance(count, GREY_CHANCE, generator), grey, images)
    images = torch.where(_chance(count, INVERT_CHANCE, generator), 1.0 - images, images)
    shading = torch.exp(0.6 * _smooth_noise(count, images.shape[-1], 3, generator))
    images = torch.where(_chance(count, SHADING_CHANCE, generator), images * shading, images)
    low = images.amin((1, 2, 3), keepdim=True)
    images = (images - low) / (images.amax((1, 2, 3), keepdim=True) - low).clamp_min(1e-3)
    images = images.clamp_min(1e-4) ** torch.exp(_between(count, -0.5, 0.5, generator))
    images = images * _between(count, 0.6, 1.1, generator) + _between(count, -0.1, 0.15, generator)
    blurred = functional.avg_pool2d(functional.pad(images, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    images = torch.where(_chance(count, BLUR_CHANCE, generator), blurred, images)
    return _speckle(images, generator).clamp(0.0, 1.0)


def _speckle(images: Tensor, generator: torch.Generator) -> Tensor:
    """Multiply by grain of 1 to 3 pixels, as coherent imaging shows it, and add a little white noise."""
    count, size = len(images), images.shape[-1]
    side = size // int(torch.randint(1, 4, (1,), generator=generator))
    grain = torch.randn(count, 1, side, side, generator=generator)
    grain = functional.interpolate(grain, size=(size, size), mode="bilinear", align_corners=False)
    strength = _between(count, 0.05, 0.4, generator)
    speckled = images * (1.0 + strength * grain).clamp_min(0.0)
    images = torch.where(_chance(count, SPECKLE_CHANCE, generator), speckled, images)
    return images + 0.02 * torch.randn(images.shape, generator=generator)


def _affine(count: int, generator: torch.Generator) -> Tensor:
    """Draw (count, 2, 3) maps from output to input: any rotation, scale 0.7 to 1.4, stretch, shift, mirror images."""
    angle = torch.rand(count, generator=generator) * 2.0 * math.pi
    scale = torch.exp(_between(count, -0.35, 0.35, generator).flatten())
    stretch = torch.exp(_between(count, -0.2, 0.2, generator).flatten())
    mirror = torch.where(torch.rand(count, generator=generator) < 0.5, -1.0, 1.0)
    shift = (torch.rand(count, 2, generator=generator) - 0.5) * 0.4
    cosine, sine = torch.cos(angle), torch.sin(angle)
    rows = torch.stack(
        [
            torch.stack([cosine * scale * stretch * mirror, -sine * scale / stretch, shift[:, 0]], dim=1),
            torch.stack([sine * scale * stretch * mirror, cosine * scale / stretch, shift[:, 1]], dim=1),
        ],
        dim=1,
    )
    return rows


def _smooth_noise(count: int, size: int, knots: int, generator: torch.Generator) -> Tensor:
    noise = torch.randn(count, 1, knots, knots, generator=generator)
    return functional.interpolate(noise, size=(size, size), mode="bicubic", align_corners=False)


def _between(count: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(count, 1, 1, 1, generator=generator)


def _chance(count: int, probability: float, generator: torch.Generator) -> Tensor:
    return torch.rand(count, 1, 1, 1, generator=generator) < probability
