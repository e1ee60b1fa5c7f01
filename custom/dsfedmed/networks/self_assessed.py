# SPDX-License-Identifier: Apache-2.0
"""A U-Net with a second head that says of every pixel whether its mask is right: the self-assessment of HSSF.

Source: HSSF (Ma et al., IEEE TMI 2023, DOI 10.1109/TMI.2023.3348982). What the head must learn is in
`dsfedmed.algorithms.unlabelled.self_assessment`. Deviation: HSSF's networks have a decoder branch of their own for it;
here masks and confidences are two halves of the last layer's channels, which share all before it.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from dsfedmed.networks.any_size import AnySizeUNet


@runtime_checkable
class SelfAssessed(Protocol):
    """A network that has a confidence for every mask."""

    def assessed(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mask logits and confidence logits, both (N, K, X, Y), of images (N, C, X, Y)."""


class SelfAssessedUNet(AnySizeUNet):
    """`AnySizeUNet` with a confidence for every mask: images (N, C, X, Y) of any side -> mask logits (N, K, X, Y).

    Args:
        out_channels: K; the last layer has twice as many.
        options: the U-Net's other arguments.
    """

    def __init__(self, out_channels: int, **options: Any) -> None:
        super().__init__(out_channels=2 * out_channels, **options)
        self.masks = out_channels

    def forward(self, x: Tensor) -> Tensor:
        """Return the mask logits alone, at the size of the images."""
        return super().forward(x)[:, : self.masks]

    def assessed(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mask logits and confidence logits, both (N, K, X, Y)."""
        both = super().forward(x)
        return both[:, : self.masks], both[:, self.masks :]
