# SPDX-License-Identifier: Apache-2.0
"""Between images and the latents that diffusion works on."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional


class LatentCodec(Protocol):
    """What the diffusion code asks of a codec; Stable Diffusion's autoencoder fits behind the same two methods."""

    def encode(self, images: Tensor) -> Tensor:
        """Return the latents of images (N, C, S, S) in [0, 1]."""
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """Return the images (N, C, S, S) in [0, 1] of latents."""
        ...


class PixelUnshuffle:
    """Lossless codec: every ``factor`` x ``factor`` patch becomes channels, values v become (v - mean) / deviation.

    Not learned, so it costs nothing to send and blurs nothing; latents are (N, C * factor**2, S / factor, S / factor).
    """

    def __init__(self, factor: int, mean: float = 0.5, deviation: float = 0.5) -> None:
        self.factor, self.mean, self.deviation = factor, mean, deviation

    @property
    def limit(self) -> float:
        """The largest magnitude that a latent of an image in [0, 1] can have."""
        return max(self.mean, 1 - self.mean) / self.deviation

    def encode(self, images: Tensor) -> Tensor:
        """Return the latents of images in [0, 1]."""
        return functional.pixel_unshuffle((images.to(torch.float32) - self.mean) / self.deviation, self.factor)

    def decode(self, latents: Tensor) -> Tensor:
        """Return the images of latents, clamped to [0, 1]."""
        return (functional.pixel_shuffle(latents, self.factor) * self.deviation + self.mean).clamp(0, 1)
