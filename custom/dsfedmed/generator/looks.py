# SPDX-License-Identifier: Apache-2.0
"""Public images in the looks that medical images may have: as they are, inverted, and without their colours.

A base that has seen bright things on dark and dark things on bright, in colour and in grey, carries over to hospitals
whose images nobody but they may see.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dsfedmed.generator.networks.codec import LatentCodec
from dsfedmed.seeds import generator

AS_IS, INVERTED, GREY = range(3)
LUMINANCE = (0.299, 0.587, 0.114)
"""ITU-R BT.601, as sites' colour images become grey."""


def look_count(channels: int) -> int:
    """Return in how many looks images of so many channels come; only RGB has colours to lose."""
    return 3 if channels == len(LUMINANCE) else 2


def in_looks(images: Tensor, looks: Tensor) -> Tensor:
    """Return images (B, C, S, S) in [0, 1], each in its look: ``AS_IS``, ``INVERTED`` or (three channels) ``GREY``.

    Args:
        images: float, in [0, 1].
        looks: int64 (B,), below ``look_count(C)``.
    """
    chosen = looks.view(-1, 1, 1, 1)
    inverted = torch.where(chosen == INVERTED, 1 - images, images)
    if images.shape[1] != len(LUMINANCE):
        return inverted
    grey = (images * images.new_tensor(LUMINANCE).view(1, 3, 1, 1)).sum(dim=1, keepdim=True).expand_as(images)
    return torch.where(chosen == GREY, grey, inverted)


class LookBank:
    """Images that are drawn in one of their looks each time; a `dsfedmed.generator.latents.Bank`.

    Encoded when they are drawn, since the embedded codec costs nothing: in memory lies one byte a value.

    Args:
        images: uint8 (N, C, S, S).
        codec: what encodes them.
        flip_axes: spatial axes (0 or 1) that a fit flips at random.
        seed: of the looks.
    """

    def __init__(self, images: Tensor, codec: LatentCodec, flip_axes: Sequence[int], seed: int) -> None:
        self.images, self.codec, self.flip_axes = images, codec, tuple(flip_axes)
        self._draws = generator(seed)

    def __len__(self) -> int:
        """Return N."""
        return len(self.images)

    def pick(self, chosen: Tensor, flips: Sequence[Tensor]) -> Tensor:
        """Return latents of the images ``chosen`` (B,), in looks drawn anew, flipped where ``flips[i]`` (B,) says."""
        images = self.images[chosen].to(torch.float32) / 255
        for axis, flip in zip(self.flip_axes, flips, strict=True):
            images = torch.where(flip.view(-1, 1, 1, 1), images.flip(2 + axis), images)
        looks = torch.randint(look_count(images.shape[1]), (len(chosen),), generator=self._draws)
        return self.codec.encode(in_looks(images, looks))
