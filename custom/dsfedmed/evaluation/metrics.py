# SPDX-License-Identifier: Apache-2.0
"""Dice, IoU and HD95 of one image, one value per class, by monai.metrics."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from monai.metrics.hausdorff_distance import compute_hausdorff_distance
from monai.metrics.meandice import compute_dice
from monai.metrics.meaniou import compute_iou

METRICS = ("dice", "iou", "hd95")


@dataclass(frozen=True)
class CaseMetrics:
    """What one test image scored; it carries no name, so it may leave the site.

    Attributes:
        dice: Dice coefficient per class, fraction in [0, 1].
        iou: intersection over union per class, fraction in [0, 1].
        hd95: 95th percentile Hausdorff distance per class, in pixels of the image's own size.
        case: number of the patient inside the site's part (order of first appearance), or None where
            every image is its own case. Intervals resample patients, not images.
    """

    dice: tuple[float, ...]
    iou: tuple[float, ...]
    hd95: tuple[float, ...]
    case: int | None = None

    @property
    def mean_dice(self) -> float:
        """Mean Dice over the classes."""
        return sum(self.dice) / len(self.dice)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form used in the run record."""
        found: dict[str, Any] = {name: list(getattr(self, name)) for name in METRICS}
        return found if self.case is None else {**found, "case": self.case}

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> CaseMetrics:
        """Rebuild from the JSON form.

        Raises:
            ValueError: the three metrics do not have one finite value for each class.
        """
        values = {name: tuple(float(value) for value in found[name]) for name in METRICS}
        if len({len(value) for value in values.values()}) != 1 or not values["dice"]:
            raise ValueError("dice, iou and hd95 need the same number of classes, at least one")
        if not all(math.isfinite(number) for value in values.values() for number in value):
            raise ValueError("dice, iou and hd95 must be finite")
        case = found.get("case")
        return cls(values["dice"], values["iou"], values["hd95"], None if case is None else int(case))


def case_metrics(
    prediction: torch.Tensor, target: torch.Tensor, case: int | None = None, valid: torch.Tensor | None = None
) -> CaseMetrics:
    """Score one image.

    HD95 is the larger of the two directed 95th percentiles between the mask borders, in pixels
    (``monai.metrics.compute_hausdorff_distance``). Conventions where MONAI answers NaN: both masks empty
    is a perfect answer (Dice 1, IoU 1, HD95 0); exactly one empty is a total miss (Dice 0, IoU 0, HD95
    the image's diagonal), so that a missed lesion costs something instead of dropping out of the mean.

    Pixels that are not ``valid`` count as neither in Dice and IoU. For HD95 both masks end where they begin: what a
    mask has inside of them is cut off, and the cut is part of its border.

    Args:
        prediction: (K, X, Y) bool.
        target: (K, X, Y) bool, the same shape.
        case: number of the patient, carried through.
        valid: (1, X, Y) bool, the pixels with a label; None for all.

    Raises:
        ValueError: the shapes differ or are not (K, X, Y), or no pixel is valid.
    """
    if valid is not None:
        if valid.shape != (1, *target.shape[1:]) or not bool(valid.any()):
            raise ValueError(f"valid is {tuple(valid.shape)} for masks {tuple(target.shape)}, or nowhere true")
        prediction, target = prediction.bool() & valid, target.bool() & valid
    if prediction.ndim != 3 or prediction.shape != target.shape:
        raise ValueError(f"expected two (K, X, Y) masks, got {tuple(prediction.shape)} and {tuple(target.shape)}")
    pair = prediction.bool()[None].float(), target.bool()[None].float()
    dice = compute_dice(*pair, include_background=True, ignore_empty=False)[0]
    iou = compute_iou(*pair, include_background=True, ignore_empty=False)[0]
    return CaseMetrics(tuple(dice.tolist()), tuple(iou.tolist()), _hd95(*pair), case)


def _hd95(prediction: torch.Tensor, target: torch.Tensor) -> tuple[float, ...]:
    """HD95 per class of (1, K, X, Y) masks, with the conventions of ``case_metrics`` for empty masks."""
    filled = prediction.flatten(2).any(-1)[0], target.flatten(2).any(-1)[0]
    diagonal = math.hypot(*prediction.shape[2:])
    values = [0.0 if not (p or t) else diagonal for p, t in zip(*filled, strict=True)]
    both = [k for k, (p, t) in enumerate(zip(*filled, strict=True)) if p and t]
    if both:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # MONAI 1.6 calls its own deprecated argument
            distances = compute_hausdorff_distance(
                prediction[:, both], target[:, both], include_background=True, percentile=95
            )[0]
        for k, distance in zip(both, distances.tolist(), strict=True):
            values[k] = float(distance)
    return tuple(values)
