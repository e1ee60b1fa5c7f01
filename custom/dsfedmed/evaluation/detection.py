# SPDX-License-Identifier: Apache-2.0
"""Missed lesions and false alarms: test images whose mask has a class and the prediction has not, and the reverse.

A class is there where one pixel is. So an image whose lesion is predicted in the wrong place is no miss here; its Dice
of 0 says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dsfedmed.evaluation.protocol import ScoredImage
from dsfedmed.ranges import Count


@dataclass(frozen=True)
class DetectedCounts:
    """Test images by whether one class is in mask and prediction; counts only, which a site may send.

    Attributes:
        present: the mask has the class.
        missed: of these, the prediction has not.
        false_alarms: the prediction has the class and the mask has not.

    Raises:
        ValueError: more is missed than there is.
    """

    present: Count
    missed: Count
    false_alarms: Count

    def __post_init__(self) -> None:
        """Refuse counts that contradict each other."""
        if self.missed > self.present:
            raise ValueError("missed is more than present")


def count_detected(images: Sequence[ScoredImage]) -> tuple[DetectedCounts, ...]:
    """Return the counts of each class over the images, which all have the same classes."""
    drawn, found = ([getattr(image, name) for image in images] for name in ("drawn", "found"))
    return tuple(_of_class(d, f) for d, f in zip(zip(*drawn, strict=True), zip(*found, strict=True), strict=True))


def _of_class(drawn: tuple[bool, ...], found: tuple[bool, ...]) -> DetectedCounts:
    pairs = list(zip(drawn, found, strict=True))
    return DetectedCounts(sum(drawn), pairs.count((True, False)), pairs.count((False, True)))
