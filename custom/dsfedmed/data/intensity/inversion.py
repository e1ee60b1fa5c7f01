# SPDX-License-Identifier: Apache-2.0
"""Bright on dark becomes dark on bright: what no contrast change between two devices can be further from."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform


class RandInvertIntensityd(RandomizableTransform, MapTransform):
    """Replace images x in [0, 1] by 1 - x, all keys of a sample alike.

    Args:
        keys: of the images.
        prob: with which probability.
        allow_missing_keys: whether a sample may lack some of them.
    """

    def __init__(self, keys: KeysCollection, prob: float = 0.5, allow_missing_keys: bool = False) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, prob)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the sample, its images inverted or as they are."""
        sample = dict(data)
        self.randomize(None)
        if self._do_transform:
            for key in self.key_iterator(sample):
                sample[key] = 1.0 - sample[key]
        return sample
