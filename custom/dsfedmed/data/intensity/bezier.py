# SPDX-License-Identifier: Apache-2.0
"""Random rising and falling maps of grey values, as a transform."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from monai.config import KeysCollection
from torch import Tensor

from dsfedmed.algorithms.appearance.bezier import bezier_map
from dsfedmed.data.intensity.drawn import RandIntensityd


class RandBezierIntensityd(RandIntensityd):
    """Map the values of images along a drawn Bezier curve, all channels alike.

    Args:
        keys: as of `RandIntensityd`.
        prob: likewise.
        allow_missing_keys: likewise.
        falls: with which probability a map falls, of those that are applied.
    """

    def __init__(
        self, keys: KeysCollection, prob: float = 0.9, falls: float = 0.5, allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, prob, allow_missing_keys)
        self.falls = falls

    def draw(self, images: Iterable[Tensor]) -> Callable[[Tensor], Tensor]:
        """Draw the curve's two inner points, and whether it falls."""
        del images
        first, second = ((float(self.R.rand()), float(self.R.rand())) for _ in range(2))
        falls = bool(self.R.rand() < self.falls)
        return lambda image: bezier_map(image, first, second, falls)
