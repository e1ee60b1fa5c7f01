# SPDX-License-Identifier: Apache-2.0
"""Bright on dark becomes dark on bright: what no contrast change between two devices can be further from."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from monai.config import KeysCollection
from torch import Tensor

from dsfedmed.data.intensity.drawn import RandIntensityd


class RandInvertIntensityd(RandIntensityd):
    """Replace images x in [0, 1] by 1 - x; arguments as of `RandIntensityd`."""

    def __init__(self, keys: KeysCollection, prob: float = 0.5, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, prob, allow_missing_keys)

    def draw(self, images: Iterable[Tensor]) -> Callable[[Tensor], Tensor]:
        """Return the inversion, in which nothing is drawn."""
        del images
        return lambda image: 1.0 - image
