# SPDX-License-Identifier: Apache-2.0
"""Copy check: synthetic images nearer to a site's training images than other patients' real images are.

Distance of two images: 1 minus the normalised cross-correlation of their smoothed 32 px grey versions, least over the
flips of the training image; so brightness, contrast and noise make no difference. Images of other than one and three
channels may have opposite contrasts in them: there it is the mean over the channels of their correlations. The baseline
is the distance of each held-out (validation) image of the same site to its nearest training image: no held-out image is
a copy, and a synthetic image that is nearer than all but a small quantile of them is vetoed. The check sees copies of
whole images, not of details; it is no formal privacy guarantee.
"""

from __future__ import annotations

import dataclasses
import math

import torch
from monai.networks.layers.simplelayers import GaussianFilter
from torch import Tensor
from torch.nn import functional

from dsfedmed.errors import DataError

DESCRIPTOR_SIZE = 32
MINIMUM_HELD_OUT = 8


@dataclasses.dataclass(frozen=True)
class AuditResult:
    """The outcome of a copy check.

    Attributes:
        distances: float32 (N,), distance in [0, 2] of each synthetic image to its nearest own training image.
        threshold: distance below which an image is vetoed.
        vetoed: int64 (V,), indices of the vetoed images, ascending.
    """

    distances: Tensor
    threshold: float
    vetoed: Tensor


def audit(
    synthetic: Tensor, training: Tensor, held_out: Tensor, quantile: float = 0.01, where: str = "audit"
) -> AuditResult:
    """Compare synthetic images (N, C, S, S) with own training (M, C, S, S) and held-out (H, C, S, S) images.

    Images are uint8 or float in [0, 1] and may differ in size between the three. ``quantile`` in [0, 1) is that of the
    held-out distances which becomes the threshold.

    Raises:
        DataError: no training images, or fewer than MINIMUM_HELD_OUT held-out images (no baseline, so no verdict).
    """
    if len(training) == 0 or len(held_out) < MINIMUM_HELD_OUT:
        raise DataError(
            where,
            f"{len(training)} training and {len(held_out)} held-out images give no baseline",
            f"The copy check needs training images and at least {MINIMUM_HELD_OUT} validation images.",
        )
    if not 0 <= quantile < 1:
        raise DataError(where, f"quantile {quantile} is not in [0, 1)", "Give a small fraction such as 0.01.")
    own = descriptors(_with_flips(training))
    baseline = nearest_distances(descriptors(held_out), own)
    threshold = float(baseline.quantile(quantile))
    distances = nearest_distances(descriptors(synthetic), own)
    return AuditResult(distances, threshold, (distances < threshold).nonzero().flatten())


def descriptors(images: Tensor) -> Tensor:
    """Return float32 descriptors of mean 0 and norm 1 (all zeros for a blank image), (N, 1024) for grey and RGB.

    Of any other number of channels C each has its own, and they stand one behind the other, (N, C * 1024).
    """
    count, channels = images.shape[:2]
    if channels not in (1, 3):
        own = descriptors(images.reshape(count * channels, 1, *images.shape[2:]))
        return own.reshape(count, -1) / math.sqrt(channels)
    grey = images.to(torch.float32).mean(dim=1, keepdim=True)
    if not images.is_floating_point():
        grey = grey / 255
    small = functional.interpolate(grey, size=(DESCRIPTOR_SIZE, DESCRIPTOR_SIZE), mode="bilinear", antialias=True)
    # Centred first, because the filter sees zeros beyond the border.
    flat = GaussianFilter(2, 1.0)(small - small.mean(dim=(2, 3), keepdim=True)).flatten(1)
    flat = flat - flat.mean(dim=1, keepdim=True)
    norm = flat.norm(dim=1, keepdim=True)
    # Below a thousandth of grey standard deviation only rounding is left, which must not be blown up to a pattern.
    return torch.where(norm > 1e-3 * DESCRIPTOR_SIZE, flat / norm.clamp(min=1e-12), torch.zeros_like(flat))


def nearest_distances(first: Tensor, second: Tensor, chunk: int = 1024) -> Tensor:
    """Return float32 (N,), 1 - correlation of each descriptor (N, D) with its nearest among (M, D)."""
    parts = [1 - (part @ second.T).amax(dim=1) for part in first.split(chunk)]
    return torch.cat(parts) if parts else torch.empty(0)


def _with_flips(images: Tensor) -> Tensor:
    return torch.cat([images, images.flip(2), images.flip(3), images.flip(2, 3)])
