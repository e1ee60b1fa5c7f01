# SPDX-License-Identifier: Apache-2.0
"""Image channels in the first layer of SAM and TinySAM, whose published weights are for RGB.

One and three channels take the stem as it is; grey is repeated. For any other number n the stem has n channels, and
weights for RGB are inflated: every channel gets the mean over the three colours, times 3 / n, so that an image of n
equal channels is answered as the grey one is. timm's `adapt_input_conv` scales by 3 / n likewise; it repeats red, green
and blue in turn, which says something of the order of channels that sequences and stains do not have.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from dsfedmed.errors import ConfigError
from dsfedmed.ranges import MOST_CHANNELS

COLOURS = 3


def stem_channels(in_channels: int, where: str) -> int:
    """Return how many channels the stem has for images of so many.

    Args:
        in_channels: of the images, 1 to 16.
        where: network or setting, for the error.

    Raises:
        ConfigError: another number.
    """
    if not 1 <= in_channels <= MOST_CHANNELS:
        fix = f"Give grey (1), colour (3) or other images of up to {MOST_CHANNELS} channels"
        raise ConfigError(where, f"in_channels is {in_channels}", fix)
    return COLOURS if in_channels == 1 else in_channels


def inflated(weight: Tensor, channels: int) -> Tensor:
    """Return the weights (E, n, h, w) for n channels of a convolution's weights (E, 3, h, w) for RGB."""
    return weight.mean(dim=1, keepdim=True).expand(-1, channels, -1, -1) * (COLOURS / channels)


def fit_channels(own: Mapping[str, Tensor], state: Mapping[str, Tensor], channels: int) -> dict[str, Tensor]:
    """Return the stem's weights of ``state``, inflated, where they are for RGB and the network's are for n channels.

    Args:
        own: the network's state dict.
        state: what is to be loaded.
        channels: n, of the network's stem.
    """
    found: dict[str, Tensor] = {}
    for key, tensor in state.items():
        if channels == COLOURS or key not in own or tensor.ndim != 4 or tensor.shape[1] != COLOURS:
            continue
        if own[key].shape == (len(tensor), channels, *tensor.shape[2:]):
            found[key] = inflated(tensor, channels)
    return found
