# SPDX-License-Identifier: Apache-2.0
"""GIN as a transform: every image through a random network of its own."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform
from torch import Tensor

from dsfedmed.algorithms.appearance.random_network import RandomLayer, random_appearance

LAYERS, INNER, SIZES = 4, 2, (1, 3)
"""The release's: layers, channels between them, and sizes of kernels, one of which is drawn for each layer."""


class RandNonlinearIntensityd(RandomizableTransform, MapTransform):
    """Give images (C, H, W) in [0, 1] another appearance, all keys of a sample by the same network.

    Args:
        keys: of the images.
        prob: with which probability.
        allow_missing_keys: whether a sample may lack some of them.
    """

    def __init__(self, keys: KeysCollection, prob: float = 0.9, allow_missing_keys: bool = False) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, prob)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the sample, its images changed or as they are."""
        sample = dict(data)
        self.randomize(None)
        if self._do_transform:
            channels = {len(sample[key]) for key in self.key_iterator(sample)}
            layers = {count: self._layers(count) for count in sorted(channels)}
            alpha = float(self.R.rand())
            for key in self.key_iterator(sample):
                sample[key] = random_appearance(sample[key], layers[len(sample[key])], alpha)
        return sample

    def _layers(self, channels: int) -> list[RandomLayer]:
        widths = (channels, *[INNER] * (LAYERS - 1), channels)
        return [self._layer(before, after) for before, after in pairwise(widths)]

    def _layer(self, before: int, after: int) -> RandomLayer:
        side = int(self.R.choice(SIZES))
        return RandomLayer(self._normal((after, before, side, side)), self._normal((after,)))

    def _normal(self, shape: Sequence[int]) -> Tensor:
        return torch.from_numpy(self.R.standard_normal(tuple(shape))).float()
