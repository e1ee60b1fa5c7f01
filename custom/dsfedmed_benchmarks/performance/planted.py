# SPDX-License-Identifier: Apache-2.0
"""Copies as somebody would hide them: each a function of images float (N, C, S, S) in [0, 1] and of other images."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

Disguise = Callable[[Tensor, Tensor], Tensor]
NOISE_SEED = 0
GREY = 0.5


def placed(images: Tensor, angle: float = 0.0, zoom: float = 1.0, shift: float = 0.0) -> Tensor:
    """Return images turned by degrees, enlarged, and moved by a share of both sides; borders are mirrored."""
    turn = torch.deg2rad(torch.tensor(angle))
    cosine, sine = float(turn.cos()) / zoom, float(turn.sin()) / zoom
    matrix = torch.tensor([[cosine, -sine, 2 * shift], [sine, cosine, 2 * shift]]).to(images)
    grid = functional.affine_grid(matrix.expand(len(images), 2, 3), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def left_half(images: Tensor, others: Tensor) -> Tensor:
    """Return the left half of each image beside the right half of another one."""
    made = others[torch.arange(len(images)) % len(others)].clone()
    half = images.shape[-1] // 2
    made[..., :half] = images[..., :half]
    return made


def painted(images: Tensor, rows: bool, columns: bool, inside: bool) -> Tensor:
    """Return images painted grey inside or outside the middle half of the rows, columns, or both."""
    side = images.shape[-1]
    middle = torch.zeros(side, dtype=torch.bool)
    middle[side // 4 : side - side // 4] = True
    every = torch.ones(side, dtype=torch.bool)
    area = (middle if rows else every)[:, None] & (middle if columns else every)
    return images.masked_fill(area if inside else ~area, GREY)


def noisy(images: Tensor, deviation: float) -> Tensor:
    """Return images with Gaussian noise, the same at every call."""
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(NOISE_SEED))
    return (images + deviation * noise).clamp(0, 1)


def coarse(images: Tensor) -> Tensor:
    """Return images at half their pixels, and back."""
    half = functional.interpolate(images, scale_factor=0.5, mode="area")
    return functional.interpolate(half, size=images.shape[2:], mode="bilinear")


DISGUISES: Mapping[str, Disguise] = {
    "none": lambda images, _: images,
    "mirrored": lambda images, _: images.flip(3),
    "quarter turn": lambda images, _: images.rot90(1, (2, 3)),
    "negative": lambda images, _: 1 - images,
    "moved 12 % on both sides": lambda images, _: placed(images, shift=0.12),
    "enlarged 25 %": lambda images, _: placed(images, zoom=1.25),
    "reduced to 80 %": lambda images, _: placed(images, zoom=0.8),
    "left half beside another image": left_half,
    "middle rows, rest grey": lambda images, _: painted(images, rows=True, columns=False, inside=False),
    "centre painted grey": lambda images, _: painted(images, rows=True, columns=True, inside=True),
    "quarter turn, negative, enlarged 20 %": lambda images, _: 1 - placed(images.rot90(1, (2, 3)), zoom=1.2),
    "turned 5 degrees": lambda images, _: placed(images, angle=5),
    "turned 10 degrees": lambda images, _: placed(images, angle=10),
    "brightness and contrast": lambda images, _: images * 0.6 + 0.2,
    "gamma 1.8": lambda images, _: images**1.8,
    "half the pixels": lambda images, _: coarse(images),
    "noise 0.15": lambda images, _: noisy(images, 0.15),
    "noise 0.3": lambda images, _: noisy(images, 0.3),
    "centre alone, rest grey": lambda images, _: painted(images, rows=True, columns=True, inside=False),
    "turned 20 degrees": lambda images, _: placed(images, angle=20),
}
"""Disguises by name; beyond "centre painted grey" they go further than the audit promises."""
