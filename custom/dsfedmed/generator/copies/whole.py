# SPDX-License-Identifier: Apache-2.0
"""Whole images compared at 32 px: what noise and blur leave of a copy when nothing was moved."""

from __future__ import annotations

import math

import torch
from monai.networks.layers.simplelayers import GaussianFilter
from torch import Tensor
from torch.nn import functional

from dsfedmed.generator.copies.structure import TURNS, grey_planes, turned

SIDE = 32
FLAT = 1e-3  # grey standard deviation below which only rounding is left, which must not be blown up to a pattern
AT_ONCE = 1024


def descriptors(images: Tensor) -> Tensor:
    """Return float32 descriptors of mean 0 and norm 1 (all zeros for a blank image), (N, 1024) for grey and RGB.

    Of any other number of channels C each has its own, and they stand one behind the other, (N, C * 1024).
    """
    planes = grey_planes(images)
    count, number = planes.shape[:2]
    single = planes.reshape(count * number, 1, *planes.shape[2:])
    small = functional.interpolate(single, size=(SIDE, SIDE), mode="bilinear", antialias=True)
    # Centred first, because the filter sees zeros beyond the border.
    flat = GaussianFilter(2, 1.0)(small - small.mean(dim=(2, 3), keepdim=True)).flatten(1)
    flat = flat - flat.mean(dim=1, keepdim=True)
    norm = flat.norm(dim=1, keepdim=True)
    unit = torch.where(norm > FLAT * SIDE, flat / norm.clamp(min=1e-12), torch.zeros_like(flat))
    return unit.reshape(count, -1) / math.sqrt(number)


def turned_descriptors(images: Tensor) -> Tensor:
    """Return the descriptors (8, M, D) of images (M, C, X, Y) in their eight positions."""
    return torch.stack([descriptors(turned(images, turn)) for turn in range(TURNS)])


def best_correlation(images: Tensor, own: Tensor, excluded: Tensor | None = None) -> Tensor:
    """Return float32 (N,) in [0, 1]: the correlation of each image (N, C, X, Y) with the most alike training image.

    Its sign does not count, so a negative is a copy.

    Args:
        images: uint8 or float in [0, 1].
        own: `turned_descriptors` of the training images, (8, M, D).
        excluded: bool (N, M), training images not to compare an image with.
    """
    parts = [torch.empty(0, device=images.device)]
    for start in range(0, len(images), AT_ONCE):
        products = torch.einsum("nd,tmd->ntm", descriptors(images[start : start + AT_ONCE]), own).abs_().amax(dim=1)
        if excluded is not None:
            products = products.masked_fill(excluded[start : start + AT_ONCE], 0.0)
        parts.append(products.amax(dim=1))
    return torch.cat(parts)
