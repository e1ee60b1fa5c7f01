# SPDX-License-Identifier: Apache-2.0
"""Missed lesions and false alarms: test images whose mask has a class and the prediction has not, and the reverse.

A class is there where one pixel is. So an image whose lesion is predicted in the wrong place is no miss here; its Dice
of 0 says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dsfedmed.evaluation.protocol import ScoredImage


@dataclass(frozen=True)
class Detected:
    """Counts of images for one class.

    Attributes:
        present: the mask has the class.
        missed: of these, the prediction has not.
        false_alarms: the prediction has the class and the mask has not.
    """

    present: int
    missed: int
    false_alarms: int


def count_detected(images: Sequence[ScoredImage]) -> tuple[Detected, ...]:
    """Return the counts of each class over the images, which all have the same classes."""
    drawn, found = ([getattr(image, name) for image in images] for name in ("drawn", "found"))
    return tuple(_of_class(d, f) for d, f in zip(zip(*drawn, strict=True), zip(*found, strict=True), strict=True))


def _of_class(drawn: tuple[bool, ...], found: tuple[bool, ...]) -> Detected:
    pairs = list(zip(drawn, found, strict=True))
    return Detected(sum(drawn), pairs.count((True, False)), pairs.count((False, True)))
