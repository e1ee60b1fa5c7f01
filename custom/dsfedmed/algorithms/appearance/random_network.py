# SPDX-License-Identifier: Apache-2.0
"""An image through a shallow random network: GIN, global intensity non-linear augmentation.

Source: Ouyang et al., Causality-inspired Single-source Domain Generalization for Medical Image Segmentation, IEEE TMI
2022, arXiv 2111.12525 (section III-B). With g a chain of convolutions of random weights and leaky ReLUs, and alpha
uniform in [0, 1]:

    mixed = alpha g(x) + (1 - alpha) x            out = mixed |x|_F / |mixed|_F

The paper's x has mean 0 and deviation 1. Images here are in [0, 1], so that each is brought there before and back
afterwards, and what leaves [0, 1] is cut off, as a saturated display does.

Deviations: the augmentation alone. The paper's second part (pseudo-correlations within the image are broken by mixing
two such images along a random field) and its loss, that two views of an image be answered alike, are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

LEAST = 1e-5
SLOPE = 0.01
"""Of the leaky ReLU below 0."""


@dataclass(frozen=True)
class RandomLayer:
    """One convolution: kernel (C_out, C_in, k, k), k odd, and shift (C_out); float32."""

    kernel: Tensor
    shift: Tensor


def through_layers(image: Tensor, layers: Sequence[RandomLayer]) -> Tensor:
    """Return g of an image (C, H, W): its layers in order, a leaky ReLU after each but the last; borders are zeros."""
    found = image[None]
    for number, layer in enumerate(layers):
        found = functional.conv2d(found, layer.kernel, layer.shift, padding=layer.kernel.shape[-1] // 2)
        if number < len(layers) - 1:
            found = functional.leaky_relu(found, SLOPE)
    return found[0]


def mixed_with(image: Tensor, changed: Tensor, alpha: float) -> Tensor:
    """Return alpha changed + (1 - alpha) image with the Frobenius norm of ``image``; both (C, H, W)."""
    mixed = alpha * changed + (1 - alpha) * image
    ratio: Tensor = torch.linalg.vector_norm(image) / (torch.linalg.vector_norm(mixed) + LEAST)
    return mixed * ratio


def random_appearance(image: Tensor, layers: Sequence[RandomLayer], alpha: float) -> Tensor:
    """Return an image (C, H, W) in [0, 1] under these layers, in [0, 1]; an even one stays as it is.

    Args:
        image: float32.
        layers: g, from C channels to C.
        alpha: share of g, 0 to 1.
    """
    mean, deviation = image.mean(), image.std(correction=0)
    normal = (image - mean) / deviation.clamp(min=LEAST)
    return (mean + deviation * mixed_with(normal, through_layers(normal, layers), alpha)).clamp(0, 1)
