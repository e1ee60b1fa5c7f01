# SPDX-License-Identifier: Apache-2.0
"""Random rising and falling maps of grey values, as a transform."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform

from dsfedmed.algorithms.appearance.bezier import bezier_map


class RandBezierIntensityd(RandomizableTransform, MapTransform):
    """Map the values of images in [0, 1] along a drawn Bezier curve, all keys and channels of a sample alike.

    Args:
        keys: of the images.
        prob: with which probability.
        falls: with which probability a map falls, of those that are applied.
        allow_missing_keys: whether a sample may lack some of the keys.
    """

    def __init__(
        self, keys: KeysCollection, prob: float = 0.9, falls: float = 0.5, allow_missing_keys: bool = False
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, prob)
        self.falls = falls

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the sample, its images mapped or as they are."""
        sample = dict(data)
        self.randomize(None)
        if self._do_transform:
            first, second = ((float(self.R.rand()), float(self.R.rand())) for _ in range(2))
            falls = bool(self.R.rand() < self.falls)
            for key in self.key_iterator(sample):
                sample[key] = bezier_map(sample[key], first, second, falls)
        return sample
