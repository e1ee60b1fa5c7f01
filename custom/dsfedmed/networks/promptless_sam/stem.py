# SPDX-License-Identifier: Apache-2.0
"""A convolutional stem in place of the ViT's patch projection, for small encoders without an official checkpoint.

A ViT that cuts a 64-pixel image into patches by one strided convolution learns slowly from few images; a few strided
3x3 convolutions before its first block cure much of that (Xiao et al., "Early convolutions help transformers see
better", NeurIPS 2021). Here: log2(patch) times a convolution of stride 2, group norm and GELU, with a residual pair of
convolutions after all but the last, which ends in a 1x1 convolution. Output and token grid are those of the projection.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from dsfedmed.errors import ConfigError

LEAST_WIDTH, GROUPS = 32, 8


class Residual(nn.Module):
    """GELU(x + f(x)), f two 3x3 convolutions with group norm: (N, C, H, W) -> the same."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1),
            nn.GroupNorm(GROUPS, width),
            nn.GELU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.GroupNorm(GROUPS, width),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Return the sum behind its activation."""
        return functional.gelu(features + self.inner(features))


def convolutional_stem(patch: int, width: int, channels: int = 3) -> nn.Sequential:
    """Return a stem (N, C, S, S) -> (N, width, S / patch, S / patch).

    Args:
        patch: side of a patch, a power of two from 2.
        width: of the tokens, a multiple of 8.
        channels: C, of the images.

    Raises:
        ConfigError: the patch cannot be made by halving.
    """
    levels = patch.bit_length() - 1
    if patch < 2 or patch != 1 << levels:
        fix = "Choose an image size that is the token grid times a power of two"
        raise ConfigError("teacher image_size", f"patches of {patch} px cannot be made by halving", fix)
    layers: list[nn.Module] = []
    for level in range(1, levels + 1):
        wider = max(LEAST_WIDTH, width >> (levels - level)) if level < levels else width
        last = level == levels
        layers += [nn.Conv2d(channels, wider, 3, stride=2, padding=1), nn.GroupNorm(GROUPS, wider), nn.GELU()]
        layers.append(nn.Conv2d(wider, wider, 1) if last else Residual(wider))
        channels = wider
    return nn.Sequential(*layers)
