# SPDX-License-Identifier: Apache-2.0
"""GIN as a transform: every image through a random network of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

import torch
from monai.config import KeysCollection
from torch import Tensor

from dsfedmed.algorithms.appearance.random_network import RandomLayer, random_appearance
from dsfedmed.data.intensity.drawn import RandIntensityd

LAYERS, INNER, SIZES = 4, 2, (1, 3)
"""The release's: layers, channels between them, and sizes of kernels, one of which is drawn for each layer."""


class RandNonlinearIntensityd(RandIntensityd):
    """Give images another appearance, all of a sample by the same network; arguments as of `RandIntensityd`."""

    def __init__(self, keys: KeysCollection, prob: float = 0.9, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, prob, allow_missing_keys)

    def draw(self, images: Iterable[Tensor]) -> Callable[[Tensor], Tensor]:
        """Draw a network for each number of channels that occurs, and how much of it the images take on."""
        layers = {count: self._layers(count) for count in sorted({len(image) for image in images})}
        alpha = float(self.R.rand())
        return lambda image: random_appearance(image, layers[len(image)], alpha)

    def _layers(self, channels: int) -> list[RandomLayer]:
        widths = (channels, *[INNER] * (LAYERS - 1), channels)
        return [self._layer(before, after) for before, after in pairwise(widths)]

    def _layer(self, before: int, after: int) -> RandomLayer:
        side = int(self.R.choice(SIZES))
        return RandomLayer(self._normal((after, before, side, side)), self._normal((after,)))

    def _normal(self, shape: Sequence[int]) -> Tensor:
        return torch.from_numpy(self.R.standard_normal(tuple(shape))).float()
