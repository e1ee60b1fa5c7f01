# SPDX-License-Identifier: Apache-2.0
"""What of an image is compared: its fine structure at 64 px, without brightness, contrast and slow changes."""

from __future__ import annotations

import torch
from monai.networks.layers.simplelayers import GaussianFilter
from torch import Tensor
from torch.nn import functional

SIDE = 64
FINE, SLOW = 0.8, 4.0
"""Standard deviations in pixels of what is averaged away as noise, and of what is taken off as slow."""
FLAT_RANGE = 1.5 / 255
FLAT_SHARE = 0.03
SATURATED = 0.08
LEAST_SCALE = 2e-3
NEARBY = 8.0
LEAST_PART = 0.25
TURNS = 8


def grey_planes(images: Tensor) -> Tensor:
    """Return float32 planes (N, P, X, Y) in [0, 1] of images (N, C, X, Y), uint8 or float in [0, 1].

    P is 1 for grey and RGB (their mean), and C otherwise: such channels may have opposite contrasts.
    """
    planes = images.to(torch.float32) if images.is_floating_point() else images.to(torch.float32) / 255
    return planes.mean(dim=1, keepdim=True) if images.shape[1] in (1, 3) else planes


def structure(images: Tensor) -> Tensor:
    """Return the fine structure float32 (N, P, 64, 64) in [-1.5, 1.5] of images (N, C, X, Y).

    A difference of two Gaussians, b / sqrt(b^2 + c^2) with c its mean magnitude: so no edge outweighs the rest.
    """
    small = _small(images)
    return _structure(small, torch.ones_like(small))


def structure_beside_paint(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return which images (N, C, X, Y) are partly painted over, and the structure of these beside the paint.

    The first is int64 (V,), the second float32 (V, P, 64, 64), zero where an image is painted over and without the
    edge of the paint.
    """
    small = _small(images)
    painted = painted_over(small)
    found = painted.flatten(1).any(dim=1).nonzero().flatten()
    return found, _structure(small[found], (~painted[found]).to(torch.float32))


def painted_over(planes: Tensor) -> Tensor:
    """Return where planes (N, P, X, Y) in [0, 1] are painted over with one grey, bool of the same shape.

    That is where an image is flat over 3 % of its area or more and neither black nor white, as backgrounds are; with
    one pixel around it.
    """
    wide = functional.pad(planes, (1, 1, 1, 1), mode="replicate")
    spread = functional.max_pool2d(wide, 3, 1) + functional.max_pool2d(-wide, 3, 1)
    flat = (spread <= FLAT_RANGE) & (planes > SATURATED) & (planes < 1 - SATURATED)
    flat &= flat.to(torch.float32).mean(dim=(2, 3), keepdim=True) >= FLAT_SHARE
    return functional.max_pool2d(flat.to(torch.float32), 3, 1, 1) > 0


def turned(planes: Tensor, number: int) -> Tensor:
    """Return planes (..., X, Y) in one of the eight positions that quarter turns and a mirror make, 0 as they are."""
    result = torch.rot90(planes, number % 4, (-2, -1))
    return result.flip(-1) if number >= 4 else result


def _small(images: Tensor) -> Tensor:
    return functional.interpolate(grey_planes(images), size=(SIDE, SIDE), mode="bilinear", antialias=True)


def _structure(small: Tensor, seen: Tensor) -> Tensor:
    band = (_seen_mean(small, seen, FINE) - _seen_mean(small, seen, SLOW)) * seen
    scale = band.abs().sum(dim=(2, 3), keepdim=True) / seen.sum(dim=(2, 3), keepdim=True).clamp(min=1)
    nearby = _seen_mean(band.abs(), seen, NEARBY)
    scale = torch.maximum(nearby, LEAST_PART * scale).clamp(min=LEAST_SCALE)
    return 1.5 * band / (band.square() + scale.square()).sqrt()


def _seen_mean(planes: Tensor, seen: Tensor, sigma: float) -> Tensor:
    """Return the Gaussian mean over the pixels that are seen (normalised convolution, Knutsson and Westin 1993)."""
    smooth = GaussianFilter(2, sigma).to(planes.device)
    seen_planes: Tensor = smooth(planes * seen) / smooth(seen).clamp(min=1e-3)
    return seen_planes
