# SPDX-License-Identifier: Apache-2.0
"""MONAI's U-Nets for images of any side (`dsfedmed.algorithms.sides`); parameters and their names are MONAI's own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from monai.networks.nets.flexible_unet import FlexibleUNet
from monai.networks.nets.unet import UNet
from torch import Tensor

from dsfedmed.algorithms.sides import cut_back, extended

RESNET_HALVINGS = 5


class AnySizeUNet(UNet):
    """``monai.networks.nets.UNet`` in 2D: images (N, C, X, Y) of any side -> logits (N, K, X, Y).

    Args:
        strides: between the levels; sides are extended to a multiple of their product.
        options: MONAI's other arguments.
    """

    def __init__(self, strides: Sequence[int], **options: Any) -> None:
        super().__init__(strides=strides, **options)
        self.multiple = math.prod(strides)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits at the size of the images."""
        return cut_back(self.model(extended(x, self.multiple)), x.shape[2], x.shape[3])


class AnySizeFlexibleUNet(FlexibleUNet):
    """``monai.networks.nets.FlexibleUNet`` in 2D over a ResNet: images (N, C, X, Y) of any side -> logits (N, K, X, Y).

    Args:
        options: MONAI's arguments.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.multiple = 2**RESNET_HALVINGS

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits at the size of the images."""
        maps = self.encoder(extended(inputs, self.multiple))
        logits = self.segmentation_head(self.decoder(maps, self.skip_connect))
        return cut_back(logits, inputs.shape[2], inputs.shape[3])
