# SPDX-License-Identifier: Apache-2.0
"""The strong view of a weakly augmented image: intensity only, so that its pixels stay where they are."""

from __future__ import annotations

import torch
from monai.transforms import (
    Compose,
    RandAdjustContrast,
    RandCoarseDropout,
    RandGaussianNoise,
    RandGaussianSmooth,
    ScaleIntensityRange,
)
from torch import Tensor

from dsfedmed.data.arrays import plain
from dsfedmed.seeds import derive_seed

HOLE_SHARE = 8


def strong_view(images: Tensor, seed: int) -> Tensor:
    """Return images (N, C, S, S) in [0, 1] with contrast, blur, noise and holes drawn for each by ``seed``."""
    side = max(1, images.shape[-1] // HOLE_SHARE)
    change = Compose(
        [
            RandAdjustContrast(prob=0.8, gamma=(0.5, 2.0)),
            RandGaussianSmooth(sigma_x=(0.25, 1.0), sigma_y=(0.25, 1.0), prob=0.5),
            RandGaussianNoise(prob=0.5, std=0.08),
            RandCoarseDropout(holes=1, max_holes=4, spatial_size=side, fill_value=0.0, prob=0.5),
            ScaleIntensityRange(a_min=0.0, a_max=1.0, b_min=0.0, b_max=1.0, clip=True),
        ]
    )
    changed = []
    for number, image in enumerate(images):
        change.set_random_state(seed=derive_seed(seed, "strong", number))
        changed.append(plain(change(image)).to(images.dtype))
    return torch.stack(changed)
