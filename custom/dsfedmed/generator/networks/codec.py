# SPDX-License-Identifier: Apache-2.0
"""Between images and the latents that diffusion works on."""

from __future__ import annotations

from typing import Protocol

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from torch import Tensor
from torch.nn import functional

from dsfedmed.algorithms.sides import cut_back, extended, up_to_multiple


class LatentCodec(Protocol):
    """What the diffusion code asks of a codec."""

    @property
    def factor(self) -> int:
        """Pixels per latent position along each axis."""
        ...

    def latent_side(self, image_size: int) -> int:
        """Return the side of the latents of an image of side ``image_size``, in pixels."""
        ...

    def encode(self, images: Tensor) -> Tensor:
        """Return the latents of images (N, C, S, S) in [0, 1]."""
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """Return the images (N, C, S, S) in [0, 1] of latents."""
        ...


class PixelUnshuffle:
    """Lossless codec: every ``factor`` x ``factor`` patch becomes channels, values v become (v - mean) / deviation.

    Not learned, so it costs nothing to send and blurs nothing; latents are (N, C * factor**2, s, s), s = S / factor.

    Args:
        factor: pixels per latent position along each axis.
        mean: value that becomes 0.
        deviation: difference from it that becomes 1.
        sides: image size and what it is extended to (`dsfedmed.algorithms.sides`), in pixels; None: nothing is.
    """

    def __init__(
        self, factor: int, mean: float = 0.5, deviation: float = 0.5, sides: tuple[int, int] | None = None
    ) -> None:
        self._factor, self.mean, self.deviation, self.sides = factor, mean, deviation, sides

    @property
    def factor(self) -> int:
        """Pixels per latent position along each axis."""
        return self._factor

    def latent_side(self, image_size: int) -> int:
        """Return the side of the latents of an image of side ``image_size``, in pixels."""
        whole = image_size if self.sides is None else up_to_multiple(image_size, self.sides[1])
        return whole // self.factor

    @property
    def limit(self) -> float:
        """The largest magnitude that a latent of an image in [0, 1] can have."""
        return max(self.mean, 1 - self.mean) / self.deviation

    def encode(self, images: Tensor) -> Tensor:
        """Return the latents of images in [0, 1]."""
        whole = images.to(torch.float32)
        if self.sides is not None:
            whole = extended(whole, self.sides[1])
        return functional.pixel_unshuffle((whole - self.mean) / self.deviation, self.factor)

    def decode(self, latents: Tensor) -> Tensor:
        """Return the images of latents, clamped to [0, 1]."""
        images = (functional.pixel_shuffle(latents, self.factor) * self.deviation + self.mean).clamp(0, 1)
        return images if self.sides is None else cut_back(images, self.sides[0], self.sides[0])


class Autoencoder:
    """Stable Diffusion's frozen variational autoencoder; latents are (N, 4, S / 8, S / 8) near unit variance.

    Deviation: the posterior's mode stands for a draw from it. Its deviation is far below the latents' own, and without
    a draw the latents of an image are always the same. Grey images (``channels`` 1) are repeated to the three
    channels that the network knows and come back as their mean.
    """

    def __init__(self, network: AutoencoderKL, channels: int) -> None:
        self.network, self.channels = network, channels
        self.network.requires_grad_(False)
        self.network.eval()
        # One image at a time: memory stays that of one, and an image does not depend on its neighbours.
        self.network.enable_slicing()

    @property
    def factor(self) -> int:
        """Pixels per latent position along each axis."""
        return int(2 ** (len(self.network.config["block_out_channels"]) - 1))

    def latent_side(self, image_size: int) -> int:
        """Return the side of the latents of an image of side ``image_size``, in pixels."""
        return image_size // self.factor

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Return float32 latents, on the images' device, of images (N, C, S, S) in [0, 1]."""
        colour = images.expand(-1, 3, -1, -1) if self.channels == 1 else images
        ready = (2 * colour.to(torch.float32) - 1).to(self.network.device, self.network.dtype)
        latents: Tensor = self.network.encode(ready).latent_dist.mode() * self.network.config["scaling_factor"]
        return latents.to(images.device, torch.float32)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Return float32 images (N, C, S, S), clamped to [0, 1], on the latents' device."""
        ready = (latents / self.network.config["scaling_factor"]).to(self.network.device, self.network.dtype)
        colour: Tensor = (self.network.decode(ready).sample.to(latents.device, torch.float32) / 2 + 0.5).clamp(0, 1)
        return colour.mean(dim=1, keepdim=True) if self.channels == 1 else colour
