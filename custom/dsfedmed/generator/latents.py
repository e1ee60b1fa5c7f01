# SPDX-License-Identifier: Apache-2.0
"""The latents of a site's images, computed once and then drawn from in every step of a fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from dsfedmed.generator.networks.codec import LatentCodec

ENCODED_AT_ONCE = 32


class Bank(Protocol):
    """What a fit draws latents from."""

    def __len__(self) -> int:
        """Return the number of images N."""
        ...

    def pick(self, chosen: Tensor, flips: Sequence[Tensor]) -> Tensor:
        """Return latents (B, c, s, s) of the images ``chosen`` (B,), flipped along axis i where ``flips[i]`` (B,)."""
        ...


class LatentBank:
    """Latents of every image under every combination of flips.

    The flipped images are encoded, not the latents flipped: an autoencoder is not quite symmetric, and its latents of
    a mirrored image are not its mirrored latents. It costs each image one or three passes more, once for all steps.

    Args:
        images: (N, C, S, S) in [0, 1].
        codec: what encodes them.
        flip_axes: spatial axes (0 or 1) that a fit flips at random.
    """

    def __init__(self, images: Tensor, codec: LatentCodec, flip_axes: Sequence[int]) -> None:
        self.flip_axes = tuple(flip_axes)
        codes = range(2 ** len(self.flip_axes))
        self._latents = torch.stack([_encode(images, codec, self._flipped(code)) for code in codes])

    def __len__(self) -> int:
        """Return N."""
        return self._latents.shape[1]

    def pick(self, chosen: Tensor, flips: Sequence[Tensor]) -> Tensor:
        """Return latents of the images ``chosen`` (B,), each flipped along axis i where ``flips[i]`` (B,) says so."""
        code = torch.zeros_like(chosen)
        for bit, flip in enumerate(flips):
            code += flip.long() << bit
        return self._latents[code, chosen]

    def _flipped(self, code: int) -> list[int]:
        return [2 + axis for bit, axis in enumerate(self.flip_axes) if code >> bit & 1]


def _encode(images: Tensor, codec: LatentCodec, dims: list[int]) -> Tensor:
    return torch.cat([codec.encode(part.to(torch.float32).flip(dims)) for part in images.split(ENCODED_AT_ONCE)]).cpu()
