# SPDX-License-Identifier: Apache-2.0
"""What random changes of intensity have in common: drawn once for a sample, the same for all its images."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform
from torch import Tensor


class RandIntensityd(RandomizableTransform, MapTransform):
    """Change images (C, H, W) in [0, 1], all keys of a sample alike, or leave them as they are.

    Args:
        keys: of the images.
        prob: with which probability.
        allow_missing_keys: whether a sample may lack some of them.
    """

    def __init__(self, keys: KeysCollection, prob: float, allow_missing_keys: bool = False) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, prob)

    @abstractmethod
    def draw(self, images: Iterable[Tensor]) -> Callable[[Tensor], Tensor]:
        """Draw the change of a sample with these images from ``self.R``."""

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the sample, its images changed or as they are."""
        sample = dict(data)
        self.randomize(None)
        if self._do_transform:
            present = list(self.key_iterator(sample))
            change = self.draw(sample[key] for key in present)
            sample.update({key: change(sample[key]) for key in present})
        return sample
